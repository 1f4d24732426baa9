"""Surfaces as coloured elliptical splats, packed for the graphics card."""

import base64
import zlib
from dataclasses import replace

import numpy as np

from ...large import frames_of
from ...reconstruction import Reconstruction
from ..surfaces import Patch

# One point as the graphics card reads it (little endian, 18 bytes). The splat that stands for it is the ellipse
# { place + x * along + y * across : x^2 + y^2 <= 1 }, which closes the gaps to its neighbours and no more.
POINT = np.dtype(
    [
        ("place", "<u2", 3),  # 0..65535 over the box of all points
        ("along", "i1", 3),
        ("across", "i1", 3),  # 127 = the point's size
        ("colour", "u1", 3),  # sRGB
        ("size", "u1"),  # logarithm, 0..255 over the range of all points
        ("confidence", "u1"),  # logarithm, 0..255 over the range that `find_range` gives
        ("motion", "u1"),  # 0..255
    ]
)
_LEVEL = 5  # confidence and motion come in steps of this: 52 colours are enough, and take half the bytes of 256
_COVER = 2 / 9  # ellipse from a triangle's summed edge products: on a regular lattice three of them meet in its middle


def without_hem(patch: Patch) -> Patch:
    """Drop triangles that share no corner with another: single ones, and what carries a surface on under a nearer edge.

    Meshes need the latter to have no gap there; splats reach a little over their edge anyway.
    """
    shared = np.bincount(patch.triangles.ravel(), minlength=len(patch.points)) > 1
    triangles = patch.triangles[shared[patch.triangles].any(axis=1)]
    kept = np.zeros(len(shared), bool)
    kept[triangles] = True
    return replace(
        patch,
        points=patch.points[kept],
        colours=patch.colours[kept],
        triangles=(np.cumsum(kept, dtype=np.int32) - 1)[triangles],
        pixels=patch.pixels[kept],
    )


def find_range(values: np.ndarray) -> list[float]:
    """Between which values colours tell differences: 2nd and 98th percentile of (N,) float; [0, 0] of none."""
    return np.quantile(values, [0.02, 0.98]).tolist() if len(values) else [0.0, 0.0]


def pack(patches: list[Patch], result: Reconstruction, sure: list[float]) -> tuple[np.ndarray, dict[str, list[float]]]:
    """All points as one `POINT` table, and the ranges that its numbers are relative to.

    patches: of frames of `result`; sure: the range of confidence that is told apart.
    """
    parts = [(patch.points, patch.colours, *_ellipses(patch)) for patch in patches]
    if not sum(len(points) for points, *_ in parts):
        return np.zeros(0, POINT), {"low": [0, 0, 0], "span": [1, 1, 1], "sizes": [0, 0]}
    patches, parts = zip(*((patch, part) for patch, part in zip(patches, parts) if len(part[0])))
    corner = np.min([points.min(axis=0) for points, *_ in parts], axis=0)
    span = np.maximum(np.max([points.max(axis=0) for points, *_ in parts], axis=0) - corner, 1e-9)
    sizes = [np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None] for _, _, along, _ in parts]
    logs = [np.log2(size[:, 0]) for size in sizes]
    least = float(min(each.min() for each in logs))
    most = float(max(*(each.max() for each in logs), least + 1e-3))
    low, high = np.log1p(sure)
    table = np.zeros(sum(map(len, sizes)), POINT)
    slots = np.split(table, np.cumsum([len(size) for size in sizes])[:-1])  # views
    for k in frames_of(result, range(len(parts))):
        slot, patch, size, (points, colours, along, across) = slots[k], patches[k], sizes[k], parts[k]
        slot["place"] = np.round((points - corner) / span * 65535)
        slot["along"], slot["across"] = np.round(along / size * 127), np.round(across / size * 127)
        slot["colour"] = colours
        slot["size"] = np.round((logs[k] - least) / (most - least) * 255)
        confidence, motion = (array[patch.t].ravel()[patch.pixels] for array in (result.confidence, result.motion))
        slot["confidence"] = _levels((np.log1p(confidence) - low) / max(high - low, 1e-6))
        slot["motion"] = _levels(motion)
    return table, {"low": corner.tolist(), "span": span.tolist(), "sizes": [least, most]}


def _levels(share):
    return np.round(np.clip(share, 0, 1) * (255 / _LEVEL)) * _LEVEL


def _ellipses(patch):
    """Axes `along`, `across` (N,3) of the ellipse about each vertex; `along` is at least as long as `across`.

    Mean of the edge products e e^T of the triangles around a vertex, small triangles counting more so that a jump in
    depth on one side does not stretch the splat. Two steps of a Cholesky decomposition with pivots turn it into
    along along^T + across across^T; what is left over is the curvature of the surface. The axes need not be at right
    angles.
    """
    number, corners = len(patch.points), patch.triangles.T.copy()
    x, y, z = (column[corners] - column[np.roll(corners, 1, axis=0)] for column in patch.points.T.copy())  # (3,M) edges
    products = [(a * b).sum(axis=0) for a, b in ((x, x), (x, y), (x, z), (y, y), (y, z), (z, z))]
    weights = 1 / np.sqrt(np.maximum(products[0] + products[3] + products[5], 1e-18))
    total, *sums = (
        np.bincount(corners.ravel(), np.tile(values, 3), number)
        for values in (weights, *(product * weights for product in products))
    )
    spread = _COVER * (np.stack(sums, axis=1) / total[:, None])[:, [0, 1, 2, 1, 3, 4, 2, 4, 5]].reshape(-1, 3, 3)
    axes = []
    for _ in range(2):
        pivot = np.diagonal(spread, axis1=1, axis2=2).argmax(axis=1)
        row = spread[np.arange(number), pivot]
        axis = row / np.sqrt(np.maximum(row[np.arange(number), pivot], 1e-18))[:, None]
        spread = spread - axis[:, :, None] * axis[:, None, :]
        axes.append(axis)
    swap = np.linalg.norm(axes[1], axis=1) > np.linalg.norm(axes[0], axis=1)
    axes[0][swap], axes[1][swap] = axes[1][swap], axes[0][swap].copy()
    return axes


def compress(table: np.ndarray) -> str:
    """Base64 of the zlib stream of the table, byte column by byte column, each the difference to the point before."""
    columns = table.view(np.uint8).reshape(len(table), POINT.itemsize)
    steps = np.diff(columns, axis=0, prepend=np.zeros((1, POINT.itemsize), np.uint8))
    return base64.b64encode(zlib.compress(np.ascontiguousarray(steps.T).tobytes(), 6)).decode()
