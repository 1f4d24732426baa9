"""How far a reconstruction explains what is seen: the check that every system's result goes through.

Flow is measured between frames of the clip and compared with the flow that depth and cameras predict for a rigid scene.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from .camera import Camera, invert, transform
from .flow import Flow, confirm, followed, lengths, pixel_grid, sample
from .large import choice
from .reconstruction import only_turns
from .threads import in_order

GAPS = (1, 4)  # frames between the two of a pair
MOST_PAIRS = 12  # per gap, spread over the clip
RETURNS = 1.0  # pixels by which the way back may miss for flow to count as measured
PIXELS, SHARE = 2.0, 0.1  # predicted flow agrees within so many pixels, or this share of its length
GROWN = 15  # pixels around what moves that are not asked
FEWEST = 100  # pixels that must be left of a pair
JUMP = np.log(1.25)  # log ratio of two frames' depths of the same points, in the middle, that is a jump
GOOD = 0.85  # agreement below which the result is called rough: sound ones have .9 on, the broken ones .4 at most
BROKEN = 0.6  # below which the cameras and depth are called wrong
# And below which nothing is right: scrolling text has .02 at most, noise .1. Of what the preview marked in rendered
# clips of 8 frames that lie too far apart, 0 to .35 moved at agreements of .02 to .39; .55 to .97 did at .9 on.
NOTHING = 0.3
JUMPY = 0.1  # share of neighbours between which depth jumps that is put up with
BEHIND = 0.02  # share of points behind another camera that sees them
# Share of a frame's static pixels whose depth is within so much of one plane's, from which on all is called flat; a
# still photo that is panned or zoomed into has .999, dogs on a lawn through a long lens .98, other clips up to .52.
FLAT, ON_PLANE = 0.9, 0.05
# Share of a frame that can be followed to the next one, below which they are called too far apart: two handheld walks
# of 10 s in 24 frames have .32 and .33, with masks and depth that mean little, 21 other clips .60 on.
FOLLOWED = 0.5
LOOKED_AT, EVERY, ROUNDS = 6, 4, 5  # frames; row and column of them; times the fit is weighted anew


@dataclass(frozen=True)
class Check:
    """What speaks for a reconstruction, all shares in [0,1]; nan where too little of the scene stands still to say."""

    agreement: dict[int, float]  # gap in frames -> share of static pixels that go where depth and cameras say
    jumps: float  # share of neighbouring frames between which the depth of the same points jumps
    behind: float  # share of static points that lie behind a camera that sees them
    masked: bool  # whether anything is said to move
    flat: float = 0.0  # share of the static pixels of most frames that lie in one plane
    followed: float = 1.0  # share of a frame, in the middle, that can be followed to the next one

    @property
    def warnings(self) -> list[str]:
        """Sentences for the user, the worst first; none if all is well."""
        said, least = [], min((a for a in self.agreement.values() if np.isfinite(a)), default=np.nan)
        if not np.isfinite(least):
            unsure = "Too little stands still and is sharp in this clip for cameras and depth to be checked."
            return [unsure, *self._far_apart()]
        if least < GOOD:
            what = "are rough"
            if least < NOTHING:
                what = "are wrong: neither the 3D view nor the masks found can be relied on"
            elif least < BROKEN:
                what = f"are wrong in places: do not rely on the 3D view{', and check the masks' * self.masked}"
            said.append(f"Cameras and depth {what}. They explain {least:.0%} of what stands still; good ones 90 % on.")
        if self.jumps > JUMPY:
            said.append(f"Depth jumps between {self.jumps:.0%} of neighbouring frames, so the scene flickers or tears.")
        if self.behind > BEHIND:
            said.append(f"{self.behind:.0%} of the scene lies behind cameras that see it: the cameras are unsure.")
        if self.flat > FLAT:
            said.append(
                "All that stands still lies in one plane, as a filmed picture, screen or wall does, or a scene far "
                "away: hardly any depth is seen, and the camera's path is unsure."
            )
        return [*said, *self._far_apart()]

    def _far_apart(self):
        if self.followed >= FOLLOWED:
            return []
        said = (
            f"Only {self.followed:.0%} of a picture can be followed to the next one used: they are far apart, or "
            "blurred, and masks and depth suffer. Use more frames, or a shorter part of the clip."
        )
        return [said]

    def report(self) -> dict:
        """For report.json; None where nothing could be said."""
        shares = {f"agreement_gap_{gap}": a for gap, a in self.agreement.items()}
        shares |= {"depth_jumps": self.jumps, "behind_camera": self.behind, "flat": self.flat}
        shares["followed"] = self.followed
        return {name: round(float(x), 4) if np.isfinite(x) else None for name, x in shares.items()}


def check(
    frames: np.ndarray,
    depth: np.ndarray,
    cam2world: np.ndarray,
    intrinsics: np.ndarray,
    moving: np.ndarray,
    gaps: tuple[int, ...] = GAPS,
    grown: int = GROWN,
    every: int | None = None,
    overlay: np.ndarray | None = None,
) -> Check:
    """Measure a reconstruction of T frames of H x W.

    frames (T,H,W,3) uint8 RGB; depth (T,H,W) z depth; cam2world (T,4,4); intrinsics (T,3,3) pixels; moving (T,H,W)
    bool: not asked, nor what is `grown` pixels around it. gaps: frames between the two of a pair; `every`: from each so
    many frames on, None: `MOST_PAIRS` per gap at most. overlay (H,W) bool: not asked either, in any frame. Flow: as of
    `flow.followed`, there and back within `RETURNS` pixels.
    """
    n_frames, (height, width) = len(frames), depth.shape[1:]
    near = np.ones((2 * grown + 1,) * 2, np.uint8)

    def left_out(t: int) -> np.ndarray:
        return moving[t] if overlay is None else moving[t] | overlay

    def compare(pair: tuple[int, int]) -> tuple[float, tuple[float, float, float] | None]:
        i, j = pair
        flow = confirm(*followed([cv2.cvtColor(frames[t], cv2.COLOR_RGB2GRAY) for t in range(i, j + 1)]), RETURNS, 0)
        asked = flow.consistent & ~(cv2.dilate(left_out(i).astype(np.uint8), near) > 0)
        if asked.sum() < FEWEST:
            return flow.consistent.mean(), None
        points = Camera(intrinsics[i], (width, height)).unproject(depth[i])
        there = transform(invert(cam2world[j]) @ cam2world[i], points)
        pixels, z = Camera(intrinsics[j], (width, height)).project(there)
        return flow.consistent.mean(), _shares(flow, asked, pixels, z, depth[j])

    step = {gap: every or max(1, -(-(n_frames - gap) // MOST_PAIRS)) for gap in gaps}
    pairs = [(i, i + gap) for gap in gaps for i in range(0, n_frames - gap, step[gap])]
    compared = dict(zip(pairs, in_order(compare, pairs)))
    found = {pair: shares for pair, (_, shares) in compared.items()}
    near_by = [share for (i, j), (share, _) in compared.items() if j - i == gaps[0]]

    def mean(column: int, gap: int) -> float:
        values = [f[column] for (i, j), f in found.items() if f is not None and j - i == gap]
        return float(np.mean(values)) if values else np.nan

    turns = only_turns(cam2world, depth)
    flat = [0.0 if turns else _flatness(depth[t], left_out(t)) for t in choice(n_frames, LOOKED_AT)]
    nearest = gaps[0]
    jumps = [abs(f[1]) > JUMP for (i, j), f in found.items() if f is not None and j - i == nearest]
    behind = [mean(2, gap) for gap in gaps if np.isfinite(mean(2, gap))]
    return Check(
        {gap: mean(0, gap) for gap in gaps},
        float(np.mean(jumps)) if jumps else np.nan,
        max(behind, default=np.nan),
        bool(moving.any()),
        float(np.median(flat)),
        float(np.median(near_by)) if near_by else 1.0,
    )


def _flatness(depth, left_out):
    """Share of the pixels of a depth (H,W) without those `left_out` (H,W) bool that lie on the plane most of them fit.

    The inverse depth of a plane is linear in the pixels; outliers count less from round to round.
    """
    inverse = np.where((depth > 0) & ~left_out, 1 / np.maximum(depth, 1e-9), 0)[::EVERY, ::EVERY]
    rows, columns = np.nonzero(inverse)
    if len(rows) < FEWEST:
        return 0.0
    values, weight = inverse[rows, columns].astype(np.float64), np.ones(len(rows))
    lines = np.stack([rows / len(inverse), columns / len(inverse), weight], axis=1)
    for _ in range(ROUNDS):
        plane = lines @ np.linalg.lstsq(lines * weight[:, None], values * weight, rcond=None)[0]
        off = np.abs(values / np.maximum(plane, 1e-9) - 1)
        weight = 1 / (1 + (off / (3 * np.median(off) + 1e-9)) ** 2)
    return float((off < ON_PLANE).mean())


def _shares(
    flow: Flow, asked: np.ndarray, pixels: np.ndarray, z: np.ndarray, depth_there: np.ndarray
) -> tuple[float, float, float]:
    """Of the pixels `asked`: share that agrees, median log ratio of the depths of the same points, share behind."""
    error = lengths(pixels - flow.target)
    way = lengths(flow.target - pixel_grid(*asked.shape))
    front = z > 0
    agrees = front & (error < np.maximum(PIXELS, SHARE * way))
    seen = asked & front
    ratio = np.log(z[seen] / np.maximum(sample(depth_there.astype(np.float32), flow.target)[seen], 1e-12))
    middle = float(np.median(ratio)) if seen.any() else np.nan
    return float(agrees[asked].mean()), middle, float((~front)[asked].mean())
