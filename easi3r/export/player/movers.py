"""What moves, one by one: whose each point is, and where each mover's middle was."""

from dataclasses import replace

import numpy as np
from scipy.ndimage import correlate1d

from ...large import frames_of
from ...motion.movers import colour
from ..scene import Scene
from ..surfaces import Patch

_SINGLY = 12  # movers with a switch of their own, the largest; the rest share one
_FEWEST = 12  # points that tell where a mover is
_SMOOTH = np.array([1, 4, 6, 4, 1])  # weights of the frames around: what is seen of a mover changes from frame to frame
_REST = "Others", (150, 156, 170)  # name and sRGB of those


def one_by_one(scene: Scene, patches: list[Patch]) -> tuple[list[dict], list[list[int]], list[Patch]]:
    """Sort the points of what moves by mover.

    patches: those of `Scene.objects` at T moments, all frames or every k-th. Returns the movers as the page knows them,
    largest over the clip first ("name", "number" in `Scene.movers` or None, "colour" sRGB, "centres": per moment the
    median of its points, [x, y, z] world, smoothed over five moments, or None where too few are seen), how many points
    of each there are at each moment, and the patches, points in that order.
    """
    ids = [scene.movers[patches[k].t].ravel()[patches[k].pixels] for k in frames_of(scene.result, range(len(patches)))]
    present = np.unique(np.concatenate(ids)).tolist()
    singly = [number for number in present if number][:_SINGLY]
    group = np.full(256, len(singly))
    group[singly] = np.arange(len(singly))
    movers = [
        {"name": f"Mover {number}", "number": number, "colour": colour(number).tolist(), "centres": []}
        for number in singly
    ]
    if len(singly) < len(present):  # also pixels that belong to none
        movers.append({"name": _REST[0], "number": None, "colour": list(_REST[1]), "centres": []})
    counts, ordered = [], []
    for patch, owner in zip(patches, map(group.__getitem__, ids)):
        order = np.argsort(owner, kind="stable")
        triangles = np.argsort(order).astype(np.int32)[patch.triangles]
        points, colours, pixels = (column[order] for column in (patch.points, patch.colours, patch.pixels))
        ordered.append(replace(patch, points=points, colours=colours, pixels=pixels, triangles=triangles))
        counts.append(np.bincount(owner, minlength=len(movers)).tolist())
        for k, mover in enumerate(movers):
            of_it = patch.points[owner == k]
            enough = k < len(singly) and len(of_it) >= _FEWEST
            mover["centres"].append(np.median(of_it, axis=0) if enough else [np.nan] * 3)
    for mover in movers:
        mover["centres"] = _smoothed(np.array(mover["centres"]))
    return movers, counts, ordered


def _smoothed(centres):
    """Means (T,3) of the places known around each frame, as lists for the page; NaN becomes None."""
    known = np.isfinite(centres[:, :1])
    total, weight = (
        correlate1d(np.where(known, values, 0.0), _SMOOTH, axis=0, mode="constant")
        for values in (centres, np.ones_like(centres))
    )
    means = total / np.maximum(weight, 1)
    return [[float(f"{x:.5g}") for x in mean] if there else None for mean, there in zip(means, known[:, 0])]
