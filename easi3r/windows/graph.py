"""All frames in one world: what the windows say of neighbours, and what loops say, weighed against each other."""

from dataclasses import dataclass

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.linalg import spsolve
from scipy.spatial.transform import Rotation

from ..alignment.similarity import retraction, scale_of

# What an edge may be wrong by: radians, shares of the median depth, log scale. Only how they compare to each other
# matters: scale drifts most where one camera walks ahead.
SIGMA = np.array([0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.02])
ROUNDS = 20  # Gauss-Newton steps, at most
STILL = 1e-6  # longest step, in tangent vectors, that ends it
_STEP = 1e-6  # of the numeric derivatives


@dataclass(frozen=True)
class Edge:
    """Window b's world lies in window a's by a similarity (4,4). frames: of a loop, one of a and one of b."""

    a: int
    b: int
    matrix: np.ndarray
    frames: tuple[int, int] | None = None


def chained(edges: list[Edge], number: int) -> np.ndarray:
    """Worlds (number,4,4), window -> world of the first, by edges from each window to the next alone."""
    worlds = np.tile(np.eye(4), (number, 1, 1))
    for edge in sorted(edges, key=lambda edge: edge.b):
        worlds[edge.b] = worlds[edge.a] @ edge.matrix
    return worlds


def settled(nodes: np.ndarray, ends: np.ndarray, measured: np.ndarray, size: float) -> np.ndarray:
    """Similarities (n,4,4), frame -> world, that agree best with all edges, from `nodes` on; the first one stays.

    Frame ends[k,1] lies in frame ends[k,0] by measured[k] (4,4). size: median depth in the unit of the frames.
    Gauss-Newton over similarities, one tangent vector per frame; what a loop finds wrong is spread over all frames
    between, as drift is.
    """
    count = len(nodes)
    a, b = ends.T
    for _ in range(ROUNDS):
        at = _residuals(nodes[a], nodes[b], measured, size)
        blocks = []
        for k in range(7):
            tangent = np.zeros((1, 7))
            tangent[0, k] = _STEP
            tangent[:, 3:6] *= size
            little = retraction(tangent)
            moved = (nodes[a] @ little, nodes[b]), (nodes[a], nodes[b] @ little)
            blocks.append([(_residuals(*both, measured, size) - at) / _STEP for both in moved])
        jacobian = np.array(blocks)  # (7 parameters, a or b, m edges, 7 residuals)
        values = jacobian.transpose(2, 3, 1, 0)  # (m,7,2,7)
        rows = np.broadcast_to(np.arange(7 * len(ends)).reshape(-1, 7, 1, 1), values.shape)
        columns = np.broadcast_to((7 * ends[:, None, :, None] + np.arange(7)), values.shape)
        shape = 7 * len(ends), 7 * count
        whole = coo_matrix((values.ravel(), (rows.ravel(), columns.ravel())), shape).tocsc()[:, 7:]
        step = np.concatenate([np.zeros(7), spsolve((whole.T @ whole).tocsc(), -whole.T @ at.ravel())]).reshape(-1, 7)
        longest = np.abs(step).max()
        step[:, 3:6] *= size
        nodes = nodes @ retraction(step)
        if longest < STILL:
            break
    return nodes


def _residuals(first, second, measured, size):
    """(m,7) in sigmas: how far `second` (m,4,4) is from where `first` and the measured edges have it."""
    left = np.linalg.inv(second) @ first @ measured
    grown = scale_of(left)
    turned = Rotation.from_matrix(left[:, :3, :3] / grown[:, None, None]).as_rotvec()
    return np.concatenate([turned, left[:, :3, 3] / size, np.log(grown)[:, None]], axis=1) / SIGMA
