"""What a result shows: chosen, merged and joined to surfaces once, for all writers of a save."""

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np

from ..errors import InputError, shown
from ..large import choice, frames_of
from ..motion.movers import follow
from ..reconstruction import Reconstruction
from ..scale import in_words
from .behind import uncovered
from .merging import Share, merge
from .panorama import blended, is_panorama
from .selection import choose_pixels
from .surfaces import Grid, Patch, thinning
from .traces import with_rim, with_traces

CUT = 0.1  # share of the static pixels that is left out unless said otherwise, the least confident first
PLAYER_MB = 12.0  # of player.html and scene.glb: what phones open from their downloads, and messengers take
_SMALLEST, _LARGEST = 1.0, 200.0  # MB that can be asked for
_MOST_VIEWS = 129  # frames that a view takes the static scene from: `merging.coarse_to_fine` covers the clip with them
RADIUS = 5.0  # units of scene.glb and camera.gltf to the middle of what the first camera sees, where no size is known


class _once(cached_property):
    """Worked out by whoever asks first; writers run side by side, and the others wait."""

    def __get__(self, scene: Any, owner: Any = None) -> Any:
        if scene is None:  # of the class
            return self
        with scene._one_at_a_time:
            return super().__get__(scene, owner)


@dataclass(frozen=True, eq=False)
class Scene:
    """A `Reconstruction` as it is shown. What writers share is worked out when it is first asked for, and kept.

    Raises `InputError` for a `cut` or a `player_mb` out of range.
    """

    result: Reconstruction
    cut: float = CUT  # share of the static pixels that is left out, the least confident first; 0 to below 1
    player_mb: float = PLAYER_MB  # most that player.html and scene.glb may have each, 1 to 200 MB (10^6 bytes)
    without: frozenset = frozenset()  # numbers of `movers` that `objects` leaves out; 0: pixels that belong to none
    still: bool = True  # False: `surfaces` leaves out what stands still
    kept: dict = field(default_factory=dict, repr=False)  # what is the same for every cut, handed on by `replace`
    _one_at_a_time: Any = field(default_factory=threading.RLock, repr=False)  # writers run side by side

    def __post_init__(self) -> None:
        if not 0 <= self.cut < 1:
            raise InputError(f"cut is {self.cut!r}; it must be at least 0 and below 1.")
        size = self.player_mb
        if isinstance(size, bool) or not isinstance(size, int | float) or not _SMALLEST <= size <= _LARGEST:
            raise InputError(
                f"player_mb is {shown(size)}; it must be a number of megabytes between {_SMALLEST:g} and {_LARGEST:g}."
            )

    @_once
    def _chosen(self) -> tuple[np.ndarray, np.ndarray]:
        return choose_pixels(self.result, self.cut, self.hidden)

    @property
    def hidden(self) -> np.ndarray:
        """(T,H,W) bool: what moves, and the rims and shadows it leaves beside its mask."""
        if self.result.coarse:  # a first look does without
            return self.result.dynamic
        with self._one_at_a_time:
            if "hidden" not in self.kept:
                self.kept["hidden"] = with_traces(self.result, with_rim(self.result.dynamic))
        return self.kept["hidden"]

    @property
    def uncovered(self) -> tuple[np.ndarray, np.ndarray]:
        """The clip without what moves, (T,H,W,3) uint8, and where it is known, (T,H,W) bool: `behind.uncovered`."""
        with self._one_at_a_time:
            if "uncovered" not in self.kept:
                moving = with_rim(self.result.dynamic)
                self.kept["uncovered"] = uncovered(self.result, moving, self.hidden, self.is_panorama)
        return self.kept["uncovered"]

    @property
    def static(self) -> np.ndarray:
        """(T,H,W) bool: pixels of what stands still."""
        return self._chosen[0]

    @property
    def moving(self) -> np.ndarray:
        """(T,H,W) bool: pixels of what moves; never also static."""
        return self._chosen[1]

    @_once
    def movers(self) -> np.ndarray:
        """(T,H,W) uint8: which mover each pixel of the result's `dynamic` belongs to, see `follow`; 0: none."""
        result = self.result
        if result.coarse:  # a first look does without
            return result.dynamic.astype(np.uint8)
        return follow(result.dynamic, result.depth, result.cam2world, result.intrinsics, result.frames)

    @_once
    def _merging(self) -> tuple[list[Share], Iterator[Share]]:
        return [], merge(self.result, self.static)

    @property
    def shares(self) -> list[Share]:
        """What every frame adds to the static scene, see `merge`."""
        return self.first_shares(None)

    def first_shares(self, count: int | None) -> list[Share]:
        """At most so many of the `shares`, which are spread over the clip; None: all."""
        with self._one_at_a_time:
            found, more = self._merging
            found.extend(more if count is None else islice(more, max(0, count - len(found))))
            return found[:count]

    @_once
    def is_panorama(self) -> bool:
        """Whether the camera only turns and how far away the scene around it is, is not known."""
        return is_panorama(self.result, self.static)

    @_once
    def pictured(self) -> Reconstruction:
        """The result with the colours of what stands still: of a panorama, frames that overlap agree in them."""
        if not self.is_panorama:
            return self.result
        return replace(self.result, frames=blended(self.result, self.static, [share.t for share in self.shares]))

    def shown_values(self, name: str, which: str = "static moving") -> np.ndarray:
        """(N,) float32: values of the result's array `name` in pixels that are shown, of some frames; which: what
        stands still, what moves, or both.
        """
        index, values = choice(len(self.static)), getattr(self.result, name)
        masks = [getattr(self, each) for each in which.split()]
        return np.concatenate([values[t][np.any([mask[t] for mask in masks], axis=0)] for t in index])

    @_once
    def median_depth(self) -> float:
        """Median depth of what the first frame shows, or any frame if that is nothing; 1 if there is nothing at all."""
        first = self.result.depth[0][self.static[0] | self.moving[0]]
        depth = first if len(first) else self.shown_values("depth")
        return float(np.median(depth)) if len(depth) else 1.0

    @property
    def units_per_world_unit(self) -> float:
        """How long one unit of the result is in scene.glb and camera.gltf; 1 in metres, the unit that glTF wants."""
        return 1.0 if self.result.info.get("scale") else RADIUS / self.median_depth

    @property
    def gltf_extras(self) -> dict[str, Any]:
        """What scene.glb and camera.gltf say of their lengths."""
        return {"units_per_world_unit": self.units_per_world_unit, "lengths": in_words(self.result.info)}

    def surfaces(self, budget: int, n_frames: int = _MOST_VIEWS) -> list[Patch]:
        """The static scene, each surface taken from one frame only.

        budget: most vertices in total; the pixel grids are thinned until they meet it. n_frames: how many frames it is
        taken from, spread over the clip.
        """
        if not self.still:
            return []
        shares = self.first_shares(n_frames)
        step = thinning(self.static[0].size, 0.4 * budget)  # one full frame is to leave room for what the others add
        while True:
            patches, left = [], budget
            for share in shares:
                grid = Grid(self.pictured, share.t, step)
                patches.append(grid.mesh(share.kept(grid)))
                left -= len(patches[-1].points)
                if left < 0:
                    break
            if left >= 0:
                return [patch for patch in patches if len(patch.points)]
            step *= 1.15

    def objects(self, frames: Sequence[int], budget: int) -> list[Patch]:
        """What moves in each of `frames` (indices), empty where nothing does. budget: about how many vertices."""
        wanted = {t: self.moving[t] for t in frames}
        if self.without:
            wanted = {t: mask & ~np.isin(self.movers[t], list(self.without)) for t, mask in wanted.items()}
        step = thinning(sum(int(mask.sum()) for mask in wanted.values()), budget)
        grids = ((t, Grid(self.result, t, step)) for t in frames_of(self.result, frames))
        return [grid.mesh(grid.pick(wanted[t])) for t, grid in grids]

    def static_points(self, budget: int) -> tuple[np.ndarray, np.ndarray]:
        """At most `budget` points of what stands still: points (N,3) float32 world, colours (N,3) uint8 sRGB.

        Every point is a pixel of some frame at that pixel's depth.
        """
        step = thinning(self.static[0].size, 0.5 * budget)  # leaves room for what the frames after the first add
        shares = self.shares

        def vertices(share):
            grid = Grid(self.pictured, share.t, step)
            return grid, np.flatnonzero(share.kept(grid))

        starts = np.cumsum([0, *(len(vertices(shares[k])[1]) for k in frames_of(self.result, range(len(shares))))])
        taken = np.arange(starts[-1])
        if starts[-1] > budget:
            taken = np.sort(np.random.default_rng(0).permutation(starts[-1])[:budget])
        points, colours = [np.zeros((0, 3), np.float32)], [np.zeros((0, 3), np.uint8)]
        parts = np.split(taken, np.searchsorted(taken, starts[1:-1]))
        for k in frames_of(self.result, range(len(shares))):
            if len(parts[k]):
                grid, index = vertices(shares[k])
                found = grid.points(index[parts[k] - starts[k]])
                points.append(found[0])
                colours.append(found[1])
        return np.concatenate(points), np.concatenate(colours)

    def moving_points(self, budget: float) -> Iterator[tuple[int, np.ndarray, np.ndarray, np.ndarray]]:
        """Yields (t, points (N,3) float32 world, colours (N,3) uint8, movers (N,) uint8) of each frame in which
        something moves.

        budget: about how many points in total; a frame's rows and columns are thinned evenly to meet it.
        """
        step = thinning(self.moving.sum(), budget)
        for t in frames_of(self.result, np.flatnonzero(self.moving.any(axis=(1, 2))).tolist()):
            grid = Grid(self.result, t, step)
            kept = np.flatnonzero(grid.pick(self.moving[t]))
            if len(kept):
                yield t, *grid.points(kept), grid.pick(self.movers[t]).ravel()[kept]
