"""Where grid points of every frame went in other frames, with how exactly that is known."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..flow import Flow, nearest
from ..spans import Span

SAMPLES = 400  # grid points per frame, about; four times as many move no camera by more than its error
FEWEST = 20  # points that a pair must have followed to count
# Standard deviation of flow in pixels: at least, per pixel that the way back misses, per pixel of the way.
LEAST, MISSED, PER_WAY = 0.3, 0.5, 0.01


@dataclass(frozen=True)
class Observations:
    """What is followed from a grid of points in T frames of H x W.

    Coordinates are pixels from the picture's centre, divided by the frame's zoom. Of each frame i: `others[i]` (n,) the
    frames in which its points were looked for, `targets[i]` (n,N,2) where they went, `spread[i]` (n,N) standard
    deviation, inf where a point was not found or moves on its own.
    """

    rows: np.ndarray  # (h,) pixel rows of the grid
    columns: np.ndarray  # (w,)
    points: np.ndarray  # (T,N,2) float64, N = h w
    others: tuple[np.ndarray, ...]
    targets: tuple[np.ndarray, ...]
    spread: tuple[np.ndarray, ...]

    @property
    def count(self) -> int:
        """How many points were found, over all pairs."""
        return sum(int(np.isfinite(s).sum()) for s in self.spread)

    def within(self, gap: int) -> "Observations":
        """Those of pairs at most `gap` frames apart."""
        near = [np.abs(others - i) <= gap for i, others in enumerate(self.others)]
        others, targets, spread = (
            tuple(of[kept] for of, kept in zip(values, near)) for values in (self.others, self.targets, self.spread)
        )
        return replace(self, others=others, targets=targets, spread=spread)


def spread_of(error: np.ndarray, way: np.ndarray) -> np.ndarray:
    """Standard deviation of flow in pixels; error: by which the way back misses, way: length of the flow, pixels."""
    return np.sqrt(LEAST**2 + (MISSED * error) ** 2 + (PER_WAY * way) ** 2)


def still_target(flow: Flow, moving: np.ndarray, moving_there: np.ndarray) -> np.ndarray:
    """(h,w) bool: pixels that were followed and move at neither end; moving_there (H,W) bool of the other frame,
    moving (h,w) bool of the pixels that the flow is of, all of a frame or some.
    """
    there = nearest(np.ascontiguousarray(moving_there).view(np.uint8), flow.target)
    return flow.consistent & ~moving & (there == 0)


def observe(flows: dict[tuple[int, int], Flow], moving: np.ndarray, zoom: np.ndarray | None = None) -> Observations:
    """The `Observations` of flows (i, j) -> Flow, where nothing moves: moving (T,H,W) bool.

    zoom (T,): focal of every frame over that of the first one, None: it does not change.
    """
    n_frames, height, width = moving.shape
    step = max(1, round(np.sqrt(height * width / SAMPLES)))
    rows, columns = np.arange(step // 2, height, step), np.arange(step // 2, width, step)
    at, centre = np.ix_(rows, columns), np.array([width / 2, height / 2])
    grid = np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2) - centre
    zoom = np.ones(n_frames) if zoom is None else zoom
    found: list[dict[int, tuple]] = [{} for _ in range(n_frames)]
    for (i, j), flow in flows.items():
        some = Flow(flow.target[at], flow.consistent[at], flow.error[at])
        known = still_target(some, moving[i][at], moving[j]).ravel()
        if i != j and known.sum() >= FEWEST:
            target = some.target.reshape(-1, 2) - centre
            spread = spread_of(some.error.ravel(), np.linalg.norm(target - grid, axis=1))
            found[i][j] = target / zoom[j], np.where(known, spread / zoom[j], np.inf)
    n_points = len(grid)
    return Observations(
        rows,
        columns,
        grid / zoom[:, None, None],
        tuple(np.array(sorted(f), int) for f in found),
        tuple(np.array([f[j][0] for j in sorted(f)]).reshape(-1, n_points, 2) for f in found),
        tuple(np.array([f[j][1] for j in sorted(f)]).reshape(-1, n_points) for f in found),
    )


def joined(windows: Sequence[tuple[Observations, Span]]) -> Observations:
    """Those of a whole clip: each frame's from the window that it is taken from."""
    if len(windows) == 1:
        return windows[0][0]
    mine = [(seen, span.begin, k) for seen, span in windows for k in range(*span.mine.indices(span.end - span.begin))]
    first = windows[0][0]
    return Observations(
        first.rows,
        first.columns,
        np.stack([seen.points[k] for seen, _, k in mine]),
        tuple(seen.others[k] + begin for seen, begin, k in mine),
        tuple(seen.targets[k] for seen, _, k in mine),
        tuple(seen.spread[k] for seen, _, k in mine),
    )
