"""How right lengths are once one is given, on rendered clips: python -m easi3r.benchmark size [FOLDER]

FOLDER as of `python -m easi3r.benchmark examples`. One pair of points is given its true distance at a time; all others
are measured then. Points stand still, are surer than half of them, not on the edge of something nearer, and 0.5 to 3 m
apart.
"""

import cv2
import numpy as np

from .. import InputError, Options, load_system, reconstruct
from ..camera import transform
from ..reconstruction import Reconstruction
from ..scale import Height, Pixels, Places
from ..synthetic import Truth, load_truth
from .examples import parse

GIVEN, MEASURED, FRAMES = 25, 2000, 4  # pairs that give a size and that are measured, in each of so many frames
EDGE = 1.15  # ratio of the true depths around a point, from which on it lies on an edge
NEAR, FAR = 0.5, 3.0  # metres between the points of a pair
ACROSS = 0.3  # of their distance along the view: what is measured with a click on either end
HEIGHTS = {"street": 1.55, "room": 1.5, "orbit": 1.75}  # of the camera in the middle of its way, `synthetic.scenes`


def score(result: Reconstruction, truth: Truth, along: float = 1) -> np.ndarray:
    """Relative errors (N,) of distances between points of a `Reconstruction` against the `Truth` of its clip, each with
    the size that another pair of the same frame gave. along: most that a pair may go along the view, as a share of its
    length.
    """
    rng, errors = np.random.default_rng(0), []
    numbers = result.info["frame_numbers"]
    for t in np.linspace(0, len(numbers) - 1, FRAMES).round().astype(int):
        pixels, points, places = _known(result, truth, t, numbers[t])
        first, second = rng.integers(len(points), size=(2, 20 * MEASURED))
        between = points[first] - points[second]
        true = np.linalg.norm(between, axis=1)
        suited = (true > NEAR) & (true < FAR) & (np.abs(between[:, 2]) <= along * true)
        pairs = np.flatnonzero(suited)[: GIVEN + MEASURED]
        found = np.array([1 / Places(1, (places[first[k]], places[second[k]])).factor(result) for k in pairs])
        for k in pairs[:GIVEN]:
            ends = tuple(pixels[first[k]]), tuple(pixels[second[k]])
            factor = Pixels(true[k], t, ends).factor(result)
            errors.append(np.abs(factor * found[GIVEN:] / true[pairs[GIVEN:]] - 1))
    return np.concatenate(errors)


def _known(result, truth, t, number):
    """Of what stands still in frame t, `number` of the source, and is sure: pixels (N,2) of the source, points (N,3) of
    its camera in metres, and where the result has them (N,3).
    """
    rows, columns = np.indices(truth.depth.shape[1:]).reshape(2, -1) * truth.step  # (2,h,w) -> (2,N)
    pixels = np.stack([columns, rows], axis=1).astype(float)
    around = truth.depth[number].astype(np.float32), np.ones((3, 3), np.uint8)
    flat = (cv2.dilate(*around) < EDGE * cv2.erode(*around)).ravel()
    depth = truth.depth[number].ravel().astype(float)
    u, v = np.rint(result.framing.from_source(pixels)).astype(int).T
    height, width = result.depth.shape[1:]
    inside = (u >= 0) & (v >= 0) & (u < width) & (v < height) & (depth > 0) & np.isfinite(depth)
    u, v = u.clip(0, width - 1), v.clip(0, height - 1)
    still = inside & flat & ~truth.dynamic[number, rows, columns] & ~result.dynamic[t, v, u]
    chosen = still & (result.confidence[t, v, u] > np.median(result.confidence))
    points = np.insert(pixels, 2, 1, axis=1) @ np.linalg.inv(truth.intrinsics).T * depth[:, None]
    camera = result.cameras[t].unproject(result.depth[t])[v[chosen], u[chosen]]
    return pixels[chosen], points[chosen], transform(result.cam2world[t], camera)


def height_error(result: Reconstruction, truth: Truth, metres: float) -> float:
    """Relative error of the size that the height of the camera gives, against that of most pairs; NaN: no ground."""
    try:
        factor = Height(metres).factor(result)
    except InputError:
        return np.nan
    ratios = []
    for t, number in enumerate(result.info["frame_numbers"]):
        _, points, places = _known(result, truth, t, number)
        ratios.append(np.linalg.norm(np.diff(points, axis=0), axis=1) / np.linalg.norm(np.diff(places, axis=0), axis=1))
    return factor / float(np.median(np.concatenate(ratios))) - 1


def main(argv: list[str]) -> int:
    """Print the table. Returns the exit code."""
    arguments = parse("size", __doc__, argv)
    system = load_system(arguments.system)
    print("| clip | across the view: half | 75 % | 95 % | any direction: half | 75 % | 95 % | camera's height |")
    print("|---|---|---|---|---|---|---|---|")
    for clip in sorted(path for path in arguments.folder.glob("*.mp4") if path.stem in HEIGHTS):
        result = reconstruct(clip, system, Options(max_frames=arguments.max_frames))
        truth = load_truth(clip.with_suffix(".npz"))
        errors = [np.quantile(score(result, truth, along), [0.5, 0.75, 0.95]) for along in (ACROSS, 1)]
        high = height_error(result, truth, HEIGHTS[clip.stem])
        cells = [f"{error:.1%}" for error in np.concatenate(errors)]
        print(" | ".join(["", clip.stem, *cells, "no ground" if np.isnan(high) else f"{high:+.1%}", ""]).strip())
    return 0
