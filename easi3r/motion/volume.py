"""A clip as one volume: neighbours in the picture and along the flow are linked, and marks spread over the links.

The random walker with priors (Grady 2005): of all fields, the one that stays near the prior where this is sure and
changes little along strong links. One sparse linear system for all frames.
"""

import functools
import itertools
from collections.abc import Callable

import cv2
import numpy as np
from scipy.sparse import coo_array, csr_array, diags_array
from scipy.sparse.linalg import LinearOperator, cg

from .. import threads
from ..flow import Flow
from ..large import zeros
from .epipolar import spacing

WEAKEST = 0.005  # of a link between neighbours in a frame: an edge of the picture nearly cuts it; .02 gives the same J
# Conjugate gradients stop here: after 60 steps or this near, marks change by less than .01
STEPS, NEAR = 60, 1e-3


class Volume:
    """The frames (T,H,W,3) uint8 RGB of a clip, linked along flows (i, j) -> Flow of their size; on the grid of
    evidence, see `spacing`. Of the flows, those between neighbouring frames are kept, as far as the grid shows them.
    """

    def __init__(self, frames: np.ndarray, flows: dict[tuple[int, int], Flow]) -> None:
        self.frames, step = frames, spacing(*frames.shape[1:3])
        self._shape = frames[0, ::step, ::step].shape[:2]
        self._ways = _ways(flows, step, self._shape)

    @functools.cached_property
    def linked(self) -> tuple[np.ndarray, csr_array]:
        """`colours` and `links`."""
        lab = colours(self.frames, self._shape)
        return lab, links(lab, self._ways)

    def give_back(self) -> None:
        """Forget what can be made again."""
        self.__dict__.pop("linked", None)


def _ways(flows, step, shape):
    """(i, j) -> (h,w,2) int16 (column, row): where each pixel of the grid went in the next or last frame's grid; -1
    where the way back does not confirm it or it left the picture.
    """
    near = [pair for pair in flows if abs(pair[0] - pair[1]) == 1]
    ways = zeros((len(near), *shape, 2), np.int16)
    for way, flow in zip(ways, map(flows.__getitem__, near)):
        place = np.rint(flow.target[::step, ::step] / step).astype(np.int32)
        ok = flow.consistent[::step, ::step] & ((place >= 0) & (place < shape[::-1])).all(axis=-1)
        way[...] = np.where(ok[..., None], place, -1)
    return dict(zip(near, ways))


def colours(frames: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Frames (T,H,W,3) uint8 RGB as Lab, (T,h,w,3) float32, on a grid of h x w, `shape`."""
    small = (cv2.resize(frame, shape[::-1], interpolation=cv2.INTER_AREA) for frame in frames)
    return np.stack([cv2.cvtColor(frame, cv2.COLOR_RGB2LAB) for frame in small]).astype(np.float32)


def links(lab: np.ndarray, ways: dict[tuple[int, int], np.ndarray]) -> csr_array:
    """Graph Laplacian (n,n) of the n = T h w pixels of `lab` (T,h,w,3), see `colours`.

    A link is the stronger the more alike the colours. ways: of neighbouring frames (i, j), (h,w,2) whole numbers: the
    column and row of j that a pixel of i is tied to, -1: none.
    """
    index = np.arange(lab[..., 0].size, dtype=np.int32).reshape(lab.shape[:3])
    pairs = [(index[:, :, :-1], index[:, :, 1:]), (index[:, :-1], index[:, 1:])]
    pixels = lab.reshape(-1, 3)
    squares = [((pixels[a] - pixels[b]) ** 2).sum(-1).ravel() for a, b in pairs]
    contrast = 2 * squares[0].mean() + 1e-6  # as in GrabCut: of this clip
    ends = [(a.ravel(), b.ravel(), np.exp(-s / contrast) + WEAKEST) for (a, b), s in zip(pairs, squares)]
    for (i, j), way in ways.items():
        ok = way[..., 0] >= 0
        u, v = way[ok].T
        a, b = index[i][ok], index[j][v, u]
        ends.append((a, b, np.exp(-((pixels[a] - pixels[b]) ** 2).sum(-1) / contrast)))
    a, b, strength = (np.concatenate(column) for column in zip(*ends))
    weights = coo_array((strength.astype(np.float32), (a, b)), shape=(index.size,) * 2).tocsr()
    weights = weights + weights.T
    return diags_array(weights.sum(axis=1)).tocsr() - weights


def spread(
    prior: np.ndarray, weight: np.ndarray, laplacian: csr_array, progress: Callable[[float], None] | None = None
) -> np.ndarray:
    """The field (T,h,w) float32 in [0,1] nearest to `prior` (T,h,w), as far as `weight` (T,h,w) > 0 says that this is
    known, and smooth over the links of `laplacian`, see `links`. `progress` gets 0 to 1.
    """
    system = (diags_array(weight.ravel()) + laplacian).tocsr()
    done, cuts = 0, np.linspace(0, len(prior.ravel()), threads.WORKERS + 1).astype(int)
    parts = [system[a:b] for a, b in itertools.pairwise(cuts)]

    def step(_):
        nonlocal done
        done += 1
        if progress:
            progress(done / STEPS)

    with threads.workers() as pool:

        def times(vector: np.ndarray) -> np.ndarray:
            return np.concatenate(list(pool.map(lambda part: part @ vector, parts)))

        found, _ = cg(
            LinearOperator(system.shape, matvec=times, dtype=system.dtype),
            (weight * prior).ravel(),
            x0=prior.ravel(),
            rtol=NEAR,
            maxiter=STEPS,
            M=diags_array(1 / system.diagonal()),
            callback=step,
        )
    return np.clip(found, 0, 1).reshape(prior.shape).astype(np.float32)
