"""Dense optical flow between frames, and where the way there and the way back agree."""

import itertools
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

_SHORTEST = 16  # pixels; of longer pictures with shorter sides (14 x 490) OpenCV's flow takes down the process
SMALL = 160  # pixels of the longer side; of 128, half the resolution doubles the error (.24 for .11 pixels)
SLACK, SHARE = 1.0, 0.05  # of `both_ways`, see `confirm`; chosen with the masks, which want long ways confirmed too

# Way of the picture, in widths, from which frames are also compared along the way over those between: on a rendered
# walk with 4 % between neighbours DIS alone is right over one frame, and for half of the pixels over three.
FAR = 0.06
# Of the width, over which grey levels are compared to choose between the two, and the difference that says no more.
# The choice has more pixels right, nine frames apart, than the better of the two alone (rendered walk .63 for .57).
AROUND = 1 / 128
DIFFERENT = 30.0

Ways = tuple[np.ndarray, np.ndarray]  # targets (H,W,2) of the first picture's pixels in the second, and back


@dataclass(frozen=True)
class Flow:
    """Where the pixels of frame i went in frame j."""

    target: np.ndarray  # (H,W,2) float32, pixel (u,v) in frame j of every pixel of frame i
    consistent: np.ndarray  # (H,W) bool, target inside frame j and confirmed by the flow back
    error: np.ndarray  # (H,W) float32, distance in pixels between a pixel and the image of its image


@lru_cache(maxsize=8)
def pixel_grid(height: int, width: int) -> np.ndarray:
    """(H,W,2) float32 pixel coordinates (u,v), not to be written to."""
    grid = np.stack(np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)), axis=-1)
    grid.flags.writeable = False
    return grid


def lengths(vectors: np.ndarray) -> np.ndarray:
    """Euclidean lengths (...) of vectors (...,2); numpy's norm takes five times as long."""
    return np.sqrt(vectors[..., 0] ** 2 + vectors[..., 1] ** 2)


def sample(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`image` (H,W[,C]) read bilinearly at `points` (H,W,2); outside: the nearest border pixel."""
    nothing: np.ndarray = None  # type: ignore[assignment]  # the stub lacks maps of both coordinates in one
    return cv2.remap(image, points.astype(np.float32), nothing, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)


def nearest(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """`image` (H,W) at the pixels nearest to `points` (h,w,2); outside: the nearest border pixel."""
    nothing: np.ndarray = None  # type: ignore[assignment]  # see `sample`
    points = points.astype(np.float32, copy=False)
    return cv2.remap(image, points, nothing, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)


def inside(points: np.ndarray, height: int, width: int) -> np.ndarray:
    """Whether points (..., 2) lie in an image of this size, bool (...)."""
    u, v = points[..., 0], points[..., 1]
    return (u >= 0) & (u <= width - 1) & (v >= 0) & (v <= height - 1)


def measure(first: np.ndarray, second: np.ndarray, full_resolution: bool = False) -> np.ndarray:
    """Where the pixels of a grey image (H,W) uint8 went in a second one: (H,W,2) float32 pixels.

    Inverse-search flow (DIS; Kroeger et al. 2016), medium preset, which stops at half the resolution;
    `full_resolution` goes on, which halves the error for four times the time, as it does for `SMALL` images.
    """
    engine = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    height, width = first.shape
    if full_resolution or max(height, width) < SMALL:
        engine.setFinestScale(0)
    more = max(0, _SHORTEST - height), max(0, _SHORTEST - width)
    if any(more):
        sides = 0, more[0], 0, more[1]
        first, second = (cv2.copyMakeBorder(image, *sides, cv2.BORDER_REPLICATE) for image in (first, second))
    way = engine.calc(first, second, None)  # type: ignore[call-overload]  # no start
    return pixel_grid(height, width) + way[:height, :width]


def confirm(there: np.ndarray, back: np.ndarray, slack: float, share: float) -> Flow:
    """The `Flow` of targets `there`, checked with those of the way back, (H,W,2) pixels each.

    A pixel is consistent if its target lies in the image and the way back misses the pixel by less than `slack` pixels
    plus this `share` of the way: long ways are followed less exactly.
    """
    height, width = there.shape[:2]
    grid = pixel_grid(height, width)
    error = lengths(sample(back, there) - grid)
    tolerance = slack + share * lengths(there - grid)
    return Flow(there, inside(there, height, width) & (error < tolerance), error.astype(np.float32))


def texture(grey: np.ndarray, window: int) -> np.ndarray:
    """Least eigenvalue (H,W) float32 of the structure tensor of a grey image (H,W), averaged over window x window.

    Mean squared change, in grey levels per pixel, in the direction in which a pixel's surroundings vary least.
    """
    x, y = (cv2.Sobel(grey, cv2.CV_32F, *order, scale=1 / 8) for order in ((1, 0), (0, 1)))
    return least_variation(x, y, window)


def least_variation(x: np.ndarray, y: np.ndarray, window: int) -> np.ndarray:
    """Least eigenvalue (H,W) float32 of the structure tensor of a gradient (x, y), (H,W) float32 each."""
    xx, yy, xy = (cv2.boxFilter(product, -1, (window, window)) for product in (x * x, y * y, x * y))
    return (xx + yy) / 2 - np.sqrt((xx - yy) ** 2 / 4 + xy**2)


def apply_homography(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Points (...,2) through a homography (3,3), float32."""
    mapped = cv2.perspectiveTransform(points.reshape(-1, 1, 2), matrix)
    return mapped.reshape(points.shape).astype(np.float32, copy=False)


def fit_homography(source: np.ndarray, target: np.ndarray) -> np.ndarray | None:
    """Robust homography (3,3) from points (N,2) to (N,2); None where there is none."""
    if len(source) < 30:
        return None
    matrix, _ = cv2.findHomography(source, target, cv2.USAC_MAGSAC, 0.5, maxIters=3000, confidence=0.9999)
    return matrix


def grid_matches(flow: Flow, step: int = 8, keep: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Consistent matches on a grid: (N,2), (N,2) float32. `keep` (H,W) bool further restricts frame i's pixels."""
    cells = (slice(step // 2, None, step),) * 2
    chosen = flow.consistent[cells] if keep is None else (flow.consistent & keep)[cells]
    return pixel_grid(*flow.consistent.shape)[cells][chosen], flow.target[cells][chosen]


def both_ways(first: np.ndarray, second: np.ndarray, led: Ways | None = None) -> tuple[Flow, Flow]:
    """Flows first -> second and second -> first of two grey images (H,W) uint8.

    DIS loses displacements beyond its patches, so it starts from the dominant homography: what is left then is parallax
    and moving things. The homography is that of the `led` ways, or of a first run without one.
    """
    dominant = _dominant(first, second) if led is None else fit_homography(*grid_matches(confirmed(*led)[0]))
    if dominant is None or abs(np.linalg.det(dominant)) < 1e-6:
        return confirmed(measure(first, second), measure(second, first)) if led is None else both_ways(first, second)
    back = np.linalg.inv(dominant)
    return confirmed(_from_homography(first, second, dominant), _from_homography(second, first, back))


def _dominant(first, second):
    """Homography (3,3) of most of the picture between two grey images; of large ones as seen at half the size."""
    shrunk = 2 if min(first.shape) >= SMALL else 1
    size = first.shape[1] // shrunk, first.shape[0] // shrunk
    one, other = (cv2.resize(image, size, interpolation=cv2.INTER_AREA) for image in (first, second))
    matches = grid_matches(confirmed(measure(one, other), measure(other, one))[0], 8 // shrunk)
    factor = np.array(first.shape[::-1]) / size
    return fit_homography(*((points + 0.5) * factor - 0.5 for points in matches))


def _from_homography(first, second, prior):
    grid = pixel_grid(*first.shape)
    return apply_homography(prior, measure(first, sample(second, apply_homography(prior, grid))))


def followed(greys: list[np.ndarray]) -> Ways:
    """Where the pixels of the first of some pictures in a row are in the last one, and the way back.

    greys: (H,W) uint8. A picture that moves far is followed from one to the next as well, see `likelier`.
    """
    first, last = greys[0], greys[-1]
    ways = measure(first, last), measure(last, first)
    if len(greys) == 2:
        return ways
    grid = pixel_grid(*first.shape)
    if not is_far(grid + (len(greys) - 1) * (measure(greys[0], greys[1]) - grid)):
        return ways
    return likelier(first, last, ways, (_along(greys), _along(greys[::-1])))


def _along(greys):
    target = pixel_grid(*greys[0].shape)
    for one, other in itertools.pairwise(greys):
        target = sample(measure(one, other), target)
    return target


def is_far(target: np.ndarray) -> bool:
    """Whether the picture moves by more, in the middle, than can be followed in two frames alone. target (H,W,2)."""
    return float(np.median(lengths(target - pixel_grid(*target.shape[:2])))) > FAR * target.shape[1]


def likelier(first: np.ndarray, second: np.ndarray, ways: Ways, led: Ways) -> Ways:
    """Of the `ways` between two grey images, and `led` ones that are right to some pixels, the likelier per pixel.

    DIS measures first what is left of the led ones. Likelier is where the other picture looks more like the one.
    """
    both = (first, second, ways[0], led[0]), (second, first, ways[1], led[1])
    there, back = (_nearer(one, other, way, _run(one, other, prior)) for one, other, way, prior in both)
    return there, back


def _nearer(first, second, one, other):
    def differ(target):
        grey = np.minimum(cv2.absdiff(sample(second, target), first).astype(np.float32), DIFFERENT)
        grey[~inside(target, *first.shape)] = DIFFERENT
        return cv2.GaussianBlur(grey, (0, 0), max(1.5, first.shape[1] * AROUND))

    return np.where((differ(other) < differ(one))[..., None], other, one)


def _run(first, second, prior):
    landed = measure(first, sample(second, prior))
    height, width = prior.shape[:2]
    beyond = landed - landed.clip(0, np.array([width - 1, height - 1], np.float32))  # there the way goes on as it is
    return sample(prior, landed) + beyond


def confirmed(there: np.ndarray, back: np.ndarray) -> tuple[Flow, Flow]:
    """Flows first -> second and second -> first from their targets (H,W,2)."""
    return confirm(there, back, SLACK, SHARE), confirm(back, there, SLACK, SHARE)
