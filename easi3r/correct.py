"""Corrections by hand: what was taken for moving is called still, and what was taken for still is called moving."""

from dataclasses import replace
from typing import Any

import numpy as np

from .errors import InputError, shown
from .motion.growing import carried, evident, outlined
from .motion.movers import follow
from .reconstruction import Reconstruction

NOTE = (
    "What moves was corrected by hand; cameras and depth are as before. Reconstruct again with the corrected masks to "
    "have them follow."
)
BESIDE = 0.02  # of the width: a click so near to a mover means it; thumbs are wide


def call_still(result: Reconstruction, frame: int, row: int, column: int) -> Reconstruction:
    """`result` without the mover at a pixel (row, column) of a frame (0 to T-1): in no frame does it move any more.

    The movers are those of `follow`. Cameras and depth stay as they are; the correction is in `info["corrections"]`.
    Raises `InputError` for a place outside the clip, or where nothing moves.
    """
    t, v, u = _place(result, frame, row, column)
    movers = _movers(result)
    mover = mover_at(movers[t], v, u)
    if not mover:
        raise InputError("What you clicked is already still; click on something that is marked as moving.")
    gone = movers == mover
    return _corrected(result, result.dynamic & ~gone, {"called": "still", "frame": t, "row": v, "column": u})


def call_moving(result: Reconstruction, frame: int, row: int, column: int) -> Reconstruction:
    """`result` in which the thing at a pixel (row, column) of a frame (0 to T-1) moves, in all frames that show it.

    Where there is evidence that it moved, that tells what belongs to it; else its colours and depth do. From the frames
    in which it is known it is carried to the others along the optical flow. At most a third of the picture; rough: thin
    parts may be missing, and what it rests on may come with it. Cameras and depth stay as they are; the correction is
    in `info["corrections"]`.
    Raises `InputError` for a place outside the clip, where something moves already, or where no thing can be told from
    what is around it.
    """
    t, v, u = _place(result, frame, row, column)
    if result.dynamic[t, v, u]:
        raise InputError("What you clicked already moves; click on something that is not marked.")
    still = ~result.dynamic
    geometry = result.depth, result.cam2world, result.intrinsics
    known = evident(result.motion, still, (t, v, u), geometry, result.frames)
    if not known:
        depth = np.where(np.isfinite(result.depth[t]) & (result.depth[t] > 0), result.depth[t], 1)
        mask = outlined(result.frames[t], depth.astype(np.float32), result.intrinsics[t][0, 0], v, u)
        if mask is None or not (mask & still[t]).any():
            raise InputError(
                "What you clicked cannot be told from what is around it; click on the middle of one thing, smaller "
                "than a third of the picture."
            )
        known = {t: mask & still[t]}
    found = carried(known, result.frames) & still
    return _corrected(result, result.dynamic | found, {"called": "moving", "frame": t, "row": v, "column": u})


def mover_at(movers: np.ndarray, row: int, column: int) -> int:
    """Which of `movers` (H,W) uint8 a click means: that at the pixel or, beside it, the nearest one; 0: none."""
    reach = max(1, round(BESIDE * movers.shape[1]))
    top, left = max(0, row - reach), max(0, column - reach)
    near = movers[top : row + reach + 1, left : column + reach + 1]
    rows, columns = np.nonzero(near)
    if not len(rows):
        return 0
    nearest = np.argmin(np.hypot(rows + top - row, columns + left - column))
    return int(near[rows[nearest], columns[nearest]])


def _movers(result):
    return follow(result.dynamic, result.depth, result.cam2world, result.intrinsics, result.frames)


def _place(result, frame, row, column):
    """(frame, row, column) as whole numbers, if they are in the clip."""
    sizes = {"frame": result.dynamic.shape[0], "row": result.dynamic.shape[1], "column": result.dynamic.shape[2]}
    given: dict[str, Any] = {"frame": frame, "row": row, "column": column}
    for name, size in sizes.items():
        try:
            number = int(given[name])
        except (TypeError, ValueError, OverflowError):
            number = -1
        if not 0 <= number < size:
            raise InputError(
                f"The click is outside the picture: {name} is {shown(given[name])}; it must be 0 to {size - 1}."
            )
        given[name] = number
    return tuple(given.values())


def _corrected(result, dynamic, correction):
    info = result.info
    masks = str(info.get("masks", "estimated"))
    changed = {
        "corrections": [*info.get("corrections", []), correction],
        "masks": masks if masks.endswith("by hand") else f"{masks}, corrected by hand",
        "warnings": [*(said for said in info.get("warnings", []) if said != NOTE), NOTE],
    }
    return replace(result, dynamic=dynamic, info={**info, **changed})
