"""A guess of depth for a camera that only turns or stands: ground below, and what stands on it where the ground ends.

All frames are drawn into one picture over azimuth and slope, without what moves. The ground spreads in it from the
bottom and from the feet of movers; in every direction it ends once, where something stands upright.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial.transform import Rotation
from scipy.special import expit, logit

from ..camera import Camera
from ..cleanup.ground import objects
from ..motion.volume import colours, links, spread
from ..motion.whole import colour_probability
from .gravity import find_down

EYE = 1.5  # height of the camera over the ground, the unit of a guess: metres where a person films
FAR = 0.05  # slope, tangent below the horizon, at which ground ends at the latest: 30 units away
GRAZING = 0.125  # and at which it is made to end: where it is seen at a smaller slope, surfaces of it are torn
NEAREST, FARTHEST = 0.3, 100.0  # depth
ACROSS = 180  # cells of the picture over azimuth and slope that the width of a frame has
UP, STEEP = -1.0, 3.0  # slopes that it reaches at most
FRAMES = 12  # that it is drawn from, spread over the clip
LOWEST = 0.04  # share of its height: at the bottom of every column there is ground, as a rule
FEET = 0.04  # lowest share of the height of a mover
RIM = 2  # cells around what moves that are left out with it
UNDER = 6  # cells under them that show the ground: the first ones are left out with what moves
SMALL = 1e-3  # share of the picture; what is smaller is no mover to tell the ground by
SURE, HARDLY = 0.3, 1e-3  # weights of where ground is and where nothing is known; above the horizon there is none: 1
CLOSE = 0.02, 0.98  # nothing is less or more probable
# Log odds by which a cell must be ground. At 0, .4, .7, 1.4 AbsRel was .25, .22, .20, .27 on a rendered pan and .36,
# .37, .41, .51 on a table; on real clips 0 takes feet of walls and pots for ground, which shears them from the side.
ODDS = 0.5
ROUNDS = 2  # of finding colours and spreading them: AbsRel .18 -> .17 and .32 -> .30 (pan, orbit), the others alike
BEND = 2.25  # log odds that a cell more or less between neighbouring columns costs
BENDS = 4  # cells between neighbouring columns, at most
# Change of log distance per radian of azimuth. What stands nearer is joined to what is behind by a surface no steeper:
# a smear beside its edge looks better than a gap. Surfaces are torn from 8.5 on (`export.surfaces`).
STRETCH = 3.0
# How much more the colours of the ground must be those of ground than what is said to stand on it up to the horizon, in
# probability: .42 to .68 on six clips with ground that ends; .2 and less on five parts of real clips without, lawns and
# noise, .36 on the upper parts of rendered streets. A lawn goes on above a horizon that is found without upright edges:
# the camera looks down by some degrees more. With the right ones lawns have .88 and .93; upper parts have .68 at most.
TILTS = ((0, 0.39), (4, 0.78), (8, 0.78), (12, 0.78))  # degrees more, and that much
SOFT = 0.01  # radians of azimuth over which the end of the ground is smoothed: it comes in steps of cells


def guess_depth(
    frames: np.ndarray,
    rotations: np.ndarray,
    cameras: Sequence[Camera],
    moving: np.ndarray,
    progress: Callable[[float], None] | None = None,
) -> np.ndarray | None:
    """Depth (T,H,W) float32, z in units of which the camera is `EYE` above the ground; None if no ground can be told.

    frames (T,H,W,3) uint8 RGB; rotations (T,3,3) camera to world; cameras: T of them; moving (T,H,W) bool, whose depth
    is that of the ground or wall behind. With ground that ends at a slope b in some direction, a ray (x, y, z) of the
    level camera, y down, meets the ground or what stands there at EYE / max(y, b hypot(x, z)) times its length.
    `progress` gets 0 to 1.
    """
    end = None
    right = rotations[len(rotations) // 2][:, 0]
    down = find_down(frames, rotations, cameras, moving)
    for k, (lower, unlike) in enumerate(TILTS):
        if progress:
            progress((k + 1) / (len(TILTS) + 1))
        level = _level(Rotation.from_rotvec(np.radians(lower) * right).apply(down), right) @ rotations
        view = _draw(frames, level, cameras, moving)
        feet = _feet(view, level, cameras, moving)
        if lower == 0 and feet[view.slope <= FAR].sum() > feet.sum() / 2:
            return None  # what moves flies, or the horizon is wrong
        end = _ground_end(view, feet, unlike)
        if end is not None:
            break
    if end is None:
        return None
    depth = np.empty(moving.shape, np.float32)
    for z, turn, camera in zip(depth, level, cameras):
        x, y, ahead = np.moveaxis(camera.rays() @ turn.T, -1, 0)
        slope = np.interp(np.arctan2(x, ahead), view.azimuth, end)
        z[:] = EYE / np.maximum(np.maximum(y, slope * np.hypot(x, ahead)), EYE / FARTHEST)
    return np.maximum(depth, NEAREST)


@dataclass(frozen=True)
class _View:
    """What stands still, over azimuth (radians, W columns) and slope (tangent, more to below, H rows)."""

    azimuth: np.ndarray  # (W,) float64, ascending
    slope: np.ndarray  # (H,) float64, ascending in the same steps
    lab: np.ndarray  # (H,W,3) float32, 0 where not seen
    seen: np.ndarray  # (H,W) bool

    @property
    def cell(self) -> float:
        return float(self.slope[1] - self.slope[0])


def _level(down, right):
    """(3,3): world to an upright frame, y down and x about `right`; both (3,) world."""
    forward = np.cross(right, down)
    forward /= np.linalg.norm(forward)
    return np.stack([np.cross(down, forward), down, forward])


def _directions(pixels, camera, turn):
    """Azimuth and slope (N,) each of pixels (N,2) of a camera that `turn` (3,3) takes to the upright frame."""
    rays = np.insert(pixels, 2, 1, axis=1) @ (turn @ np.linalg.inv(camera.intrinsics)).T
    return np.arctan2(rays[:, 0], rays[:, 2]), rays[:, 1] / np.maximum(np.hypot(rays[:, 0], rays[:, 2]), 1e-9)


def _draw(frames, level, cameras, moving):
    """The `_View` of frames spread over the clip: the median of what they show."""
    n_frames, height, width = moving.shape
    index = np.unique(np.linspace(0, n_frames - 1, FRAMES).round().astype(int))
    small = (ACROSS, max(2, round(ACROSS * height / width)))
    cameras = [cameras[t].scaled(*small) for t in index]
    cell = 1 / np.median([camera.intrinsics[0, 0] for camera in cameras])
    edge = np.argwhere(np.pad(np.zeros((small[1] - 2, small[0] - 2)), 1, constant_values=1))[:, ::-1]
    rim = np.concatenate([_directions(edge, c, level[t]) for c, t in zip(cameras, index)], axis=1)
    low, high = rim.min(axis=1), rim.max(axis=1)
    azimuth = np.arange(low[0], high[0], cell)
    slope = np.arange(np.clip(low[1], UP, 0), np.clip(high[1], 2 * cell, STEEP), cell)  # the horizon at least
    rays = np.stack(np.broadcast_arrays(np.sin(azimuth), slope[:, None], np.cos(azimuth)), axis=-1)  # (H,W,3)
    shown = np.full((len(index), *rays.shape), np.nan, np.float32)
    near = np.ones((2 * RIM + 1,) * 2, np.uint8)  # masks end a little inside of what moves
    for picture, lab, camera, t in zip(shown, colours(frames[index], small[::-1]), cameras, index):
        pixels, z = camera.project(rays @ level[t])
        still = 1 - cv2.dilate(cv2.resize(moving[t].astype(np.uint8), small, interpolation=cv2.INTER_NEAREST), near)
        maps = np.where((z > 0)[..., None], pixels, -2).astype(np.float32), None, cv2.INTER_LINEAR
        seen = cv2.remap(still.astype(np.float32), *maps) > 0.99
        picture[seen] = cv2.remap(lab, *maps)[seen]
    seen = np.isfinite(shown[..., 0]).any(axis=0)
    lab = np.zeros(rays.shape, np.float32)
    lab[seen] = np.nanmedian(shown[:, seen], axis=0)
    return _View(azimuth, slope, lab, seen)


def _feet(view, level, cameras, moving):
    """(H,W) bool: where the lowest pixels of what moves are, in all frames, and what lies right under them."""
    feet = np.zeros(view.seen.shape, bool)
    for turn, camera, mask in zip(level, cameras, moving):
        for box, inside in objects(mask):
            if box[0].stop == len(mask) or inside.sum() < SMALL * mask.size:
                continue  # where it stands lies below the picture, or it is a speck
            row, column = np.nonzero(inside[-max(2, round(FEET * len(inside))) :])
            row += box[0].stop - row.max()
            azimuth, slope = _directions(np.stack([column + box[1].start, row], axis=1), camera, turn)
            cells = np.rint([(slope - view.slope[0]) / view.cell, (azimuth - view.azimuth[0]) / view.cell]).astype(int)
            inner = (cells >= 0).all(axis=0) & (cells < np.array(feet.shape)[:, None]).all(axis=0)
            feet[tuple(cells[:, inner])] = True
    under = np.ones((UNDER, 1), np.uint8)
    return cv2.dilate(feet.astype(np.uint8), under, anchor=(0, UNDER - 1)) > 0


def _ground_end(view, feet, unlike):
    """Slope (W,) at which the ground ends in every direction; None if no ground can be told.

    It can if what is said to stand on it, up to the horizon, looks `unlike` it by so much, see `TILTS`.
    """
    above, below = view.seen & (view.slope < 0)[:, None], view.seen & (view.slope > FAR)[:, None]
    if not (above.any() and below.any()):
        return None
    ground, alike = _is_ground(view, feet & below)
    row = _lowest_line(np.where(view.seen, logit(ground) - ODDS, 0), view.slope >= FAR)
    on_it = np.arange(len(view.slope))[:, None] >= row
    stands = view.seen & ~on_it & ~above
    if not stands.any() or alike[view.seen & on_it].mean() - alike[stands].mean() < unlike:
        return None
    # Of all surfaces that stand at least this near, the farthest that is nowhere steeper than may be.
    slope = np.maximum(view.slope[row], GRAZING)
    nearness = ndimage.gaussian_filter1d(np.log(slope), SOFT / view.cell, mode="nearest")
    apart = np.abs(view.azimuth[:, None] - view.azimuth)
    return np.exp((nearness - STRETCH * apart).max(axis=1))


def _lowest_line(odds, allowed):
    """Row (W,) in every column from which on down the log `odds` (H,W) of ground add up to most, less what the line
    loses by its bends; only `allowed` rows (H,). Found column by column (Viterbi).
    """
    n_rows, n_columns = odds.shape
    gain = np.where(allowed[:, None], np.cumsum(odds[::-1], axis=0)[::-1], -np.inf)
    best, steps = gain[:, 0], np.arange(-BENDS, BENDS + 1)
    came = np.zeros(gain.shape, int)
    for k in range(1, n_columns):
        padded = np.pad(best, BENDS, constant_values=-np.inf)
        ways = np.stack([padded[BENDS + step : BENDS + step + n_rows] - BEND * abs(step) for step in steps])
        came[:, k] = steps[ways.argmax(axis=0)]
        best = ways.max(axis=0) + gain[:, k]
    row = np.full(n_columns, best.argmax())
    for k in range(n_columns - 1, 0, -1):
        row[k - 1] = row[k] + came[row[k], k]
    return row


def _is_ground(view, feet):
    """Probability (H,W) of being ground; and by colours alone."""
    up = np.arange(len(view.slope))[::-1, None] - view.seen[::-1].argmax(axis=0)  # rows over the lowest one seen
    bottom = view.seen & (view.slope > FAR)[:, None] & (up < LOWEST * len(view.slope))
    below = bottom | (feet & view.seen)
    prior = np.where(below, 1, np.where((view.slope < 0)[:, None], 0, 0.5)).astype(np.float32)
    weight = np.where(below, SURE, np.where(prior < 0.5, 1, HARDLY)).astype(np.float32)
    laplacian = links(view.lab[None], {})  # of a clip of one frame
    near = spread(prior[None], weight[None], laplacian)[0]
    found = 0.3 + 0.4 * near
    for _ in range(ROUNDS):  # colours that are found to be ground tell where there is more of it
        known = np.where(view.seen, np.where(weight > HARDLY, prior, found), 0.5)
        alike = colour_probability(view.lab[None], known[None])[0]
        both = expit(logit(np.clip(near, *CLOSE)) + logit(np.clip(alike, *CLOSE)))
        found = np.clip(spread(both[None], np.full((1, *both.shape), SURE), laplacian)[0], *CLOSE)
    return found, alike
