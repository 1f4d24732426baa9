"""What moves, as MonST3R tells it: optical flow against the flow that the cameras of a pair alone would cause.

Source: the published program as described in the specification of the baselines, sections 1.2 and 2.3.
"""

from collections.abc import Iterable, Iterator, Mapping
from threading import Lock
from typing import Any

import cv2
import numpy as np

from ..alignment.closed_form import TwoImages, solve_two
from ..backbones.base import PairPrediction
from ..camera import Camera, invert
from ..errors import InputError
from ..flow import both_ways, pixel_grid
from ..threads import in_order

Edge = tuple[int, int]
TINY = np.float32(1e-6)  # added to both divisors of the published formula
FLAT = 1e-3  # pixels: a map whose errors differ by less is constant; `TINY` and rounding alone make up to 5e-4


def frame_error(predictions: Iterable[PairPrediction], flows: Mapping[Edge, np.ndarray], n_frames: int) -> np.ndarray:
    """(T,H,W) float32 in [0,1]: how far optical flow is from what the cameras explain, the mean over a frame's pairs.

    predictions: directed pairs, consumed once; a pair waits for its mirror, so memory is least where (j, i) follows
    (i, j) closely. flows: (i, j) -> (H,W,2) pixels (du, dv) that the pixels of frame i move by on the way to frame j,
    of both directions; read once each, in threads, so they may be measured on demand. A frame without pairs, and one
    compared with itself, has no error.

    The error of a pair, |flow by the cameras - flow|, is stretched to [0,1] for each of its frames; a map without
    differences is 0. Raises `InputError` if there are no predictions, or flows are missing or of another size.
    """
    total: Any = None  # (T,H,W) once the first pair has shown its size
    count = np.zeros(n_frames, np.float32)

    def sized() -> Iterator[PairPrediction]:
        nonlocal total
        for pair in predictions:
            if total is None:
                total = np.zeros((n_frames, *pair.conf1.shape), np.float32)
            yield pair

    for errors in in_order(lambda both: _errors(both, flows), _with_mirrors(sized())):
        for frame, error in errors.items():
            total[frame] += _unit(error)
            count[frame] += 1
    if total is None:
        raise InputError("There are no predictions to compare with flow: give at least one pair of frames.")
    return total / np.maximum(count, 1)[:, None, None]


class MeasuredFlows(Mapping[Edge, np.ndarray]):
    """Flows of a clip's pairs for `frame_error`, measured by `flow.both_ways` when they are first asked for.

    Both directions are measured together; the second one is kept until it is asked for. frames (T,H,W,3) uint8 RGB.
    """

    def __init__(self, frames: np.ndarray) -> None:
        self._grey = [cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY) for frame in frames]
        self._grid = pixel_grid(*frames.shape[1:3])
        self._waiting: dict[Edge, np.ndarray] = {}
        self._lock = Lock()

    def __getitem__(self, edge: Edge) -> np.ndarray:
        i, j = edge
        with self._lock:
            known = self._waiting.pop((i, j), None)
        if known is not None:
            return known
        there, back = both_ways(self._grey[i], self._grey[j])
        with self._lock:
            self._waiting[j, i] = back.target - self._grid
        return there.target - self._grid

    def __iter__(self) -> Iterator[Edge]:
        return ((i, j) for i in range(len(self._grey)) for j in range(len(self._grey)) if i != j)

    def __len__(self) -> int:
        return len(self._grey) * (len(self._grey) - 1)


def _with_mirrors(predictions):
    """Pairs (i, j) with their mirrors (j, i), None where there is none; each unordered pair once."""
    waiting, done = {}, set()
    for pair in predictions:
        key = min(pair.i, pair.j), max(pair.i, pair.j)
        if pair.i == pair.j or key in done:
            continue
        first = waiting.get(key)
        if first is None:
            waiting[key] = pair
        elif (first.i, first.j) == (pair.j, pair.i):
            done.add(key)
            yield waiting.pop(key), pair
    yield from ((pair, None) for pair in waiting.values())


def _errors(both, flows):
    """Error in pixels of both frames of a pair: frame -> (H,W) float32; 0 where it is not known."""
    there, back = both
    pair, edges = solve_two(there, back), ((there.i, there.j), (there.j, there.i))
    return {edge[0]: _error(pair, side, _flow(flows, edge, there.conf1.shape)) for side, edge in enumerate(edges)}


def _error(pair, side, flow):
    with np.errstate(all="ignore"):
        error = np.linalg.norm(ego_flow(pair, side) - flow, axis=-1)
    return np.where(np.isfinite(error), error, 0)


def ego_flow(pair: TwoImages, side: int) -> np.ndarray:
    """(H,W,2) float32 pixels (du, dv): how the cameras alone move the pixels of one frame on the way to the other.

    side: 0 from the pair's first to its second frame, 1 back. Nothing is done about what is hidden, leaves the picture
    or lies behind the camera.
    """
    depth = pair.depth[side]
    height, width = depth.shape
    own, other = (Camera.centred(pair.focals[k], width, height).intrinsics for k in (side, 1 - side))
    relative = invert(pair.cam2world[1 - side]) @ pair.cam2world[side]
    grid = pixel_grid(height, width)
    turned = cv2.transform(np.dstack([grid, np.ones_like(depth)]), other @ relative[:3, :3] @ np.linalg.inv(own))
    moved = turned + (1 / (depth + TINY))[..., None] * (other @ relative[:3, 3]).astype(np.float32)
    return moved[..., :2] / (moved[..., 2:] + TINY) - grid


def _flow(flows, edge, shape):
    try:
        flow = np.asarray(flows[edge], np.float32)
    except KeyError:
        raise InputError(f"There is no flow of the frames {edge}; give both directions of every pair.") from None
    if flow.shape != (*shape, 2):
        raise InputError(f"The flow of the frames {edge} has shape {flow.shape}; it must be {(*shape, 2)}.")
    return flow


def _unit(error):
    """Stretched to [0,1]; 0 if it is constant."""
    low, high = error.min(), error.max()
    return (error - low) / (high - low) if high - low > FLAT else np.zeros_like(error)
