"""All windows in one world: what they say of their neighbours and of loops, weighed against each other."""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.sparse import lil_matrix
from scipy.spatial.transform import Rotation

from ..alignment.similarity import retraction, scale_of

# What an edge may be wrong by: radians, shares of the median depth, log scale. Only how they compare to each other
# matters; depth of neighbours gives scale less surely than cameras give turns.
SIGMA = np.array([0.01, 0.01, 0.01, 0.02, 0.02, 0.02, 0.02])
LOOSE = 3.0  # of these beyond which an edge counts less: a loop may be wrong


@dataclass(frozen=True)
class Edge:
    """Window b's world lies in window a's by a similarity (4,4)."""

    a: int
    b: int
    matrix: np.ndarray


def chained(edges: list[Edge], number: int) -> np.ndarray:
    """Worlds (number,4,4), window -> world of the first, by edges from each window to the next alone."""
    worlds = np.tile(np.eye(4), (number, 1, 1))
    for edge in sorted(edges, key=lambda edge: edge.b):
        worlds[edge.b] = worlds[edge.a] @ edge.matrix
    return worlds


def settled(worlds: np.ndarray, edges: list[Edge], sizes: np.ndarray) -> np.ndarray:
    """The worlds (n,4,4) that agree best with all edges, from these on; the first one stays.

    sizes (n,): median depth in each window. Levenberg-Marquardt over similarities, one tangent vector per window, with
    a robust loss.
    """
    number = len(worlds)
    a, b = (np.array([getattr(edge, end) for edge in edges]) for end in "ab")
    measured = np.stack([edge.matrix for edge in edges])
    start = worlds

    def moved(parameters: np.ndarray) -> np.ndarray:
        tangent = np.zeros((number, 7))
        tangent[1:] = parameters.reshape(-1, 7)
        tangent[:, 3:6] *= sizes[:, None]
        return start @ retraction(tangent)

    def residuals(parameters: np.ndarray) -> np.ndarray:
        found = moved(parameters)
        left = np.linalg.inv(found[b]) @ found[a] @ measured  # (m,4,4), the identity where an edge is kept
        grown = scale_of(left)
        turned = Rotation.from_matrix(left[:, :3, :3] / grown[:, None, None]).as_rotvec()
        parts = np.concatenate([turned, left[:, :3, 3] / sizes[b, None], np.log(grown)[:, None]], axis=1)
        return (parts / SIGMA).ravel()

    sparsity = lil_matrix((7 * len(edges), 7 * (number - 1)), dtype=np.int8)
    for k in range(len(edges)):
        for window in (a[k], b[k]):
            if window:
                sparsity[7 * k : 7 * k + 7, 7 * window - 7 : 7 * window] = 1
    solved = least_squares(
        residuals, np.zeros(7 * (number - 1)), jac_sparsity=sparsity.tocsr(), loss="huber", f_scale=LOOSE
    )
    return moved(solved.x)
