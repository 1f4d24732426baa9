"""The preview's network: optical flow and epipolar geometry where DUSt3R has weights."""

import itertools
from dataclasses import dataclass, replace

import cv2
import numpy as np

from ...camera import Camera, focal_of
from ...flow import Flow, both_ways, confirmed, is_far, likelier, sample
from ...overlays import greys
from ...threads import in_order
from ..base import Edges, Features, PairPrediction, Predictions, Progress
from . import dense, two_view

COLUMNS = 64  # tokens along the longer side: fewer swallow what is near a moving object, more fall apart
SUPPORT = 0.3  # share of a pair's pixels that must agree on its pose for the pair to count
POSES = 0.5  # of the time of `predict`
Flows = dict[tuple[int, int], Flow]


class PreviewNetwork:
    """A `PairNetwork` of two-view geometry with OpenCV. Instances hold nothing of a run."""

    name = "preview"
    patch = 16
    max_side = 512
    device = "cpu"

    def __init__(self) -> None:
        self.info = {"name": self.name, "device": self.device, "weights": None}

    def encode(self, frames: np.ndarray, progress: Progress | None = None) -> Features:
        """Grey images, T of (H,W) uint8, as `data`; tokens for clustering: colour (Lab), texture, position."""
        return Features(frames, _tokens(frames), greys(frames))

    def flows(
        self, features: Features, edges: Edges, progress: Progress | None = None, known: Flows | None = None
    ) -> Flows:
        """Flow of all pairs of `edges`, in both directions, and those known already: (i, j) -> Flow.

        Frames far apart are compared from where the flow between neighbours leads: a camera that turns moves the
        picture by more than can be found in two frames alone.
        """
        flows = dict(known or {})
        new = {(min(e), max(e)) for e in edges if e[0] != e[1]} - flows.keys()
        pairs = sorted(new, key=lambda p: (p[1] - p[0], p))
        done = 0
        for _, group in itertools.groupby(pairs, lambda pair: pair[1] - pair[0]):
            near = list(group)
            for ways, (i, j) in zip(in_order(lambda pair: _compared(features.data, flows, *pair), near), near):
                flows[i, j], flows[j, i] = ways
                done += 1
                if progress:
                    progress(done / len(pairs), f"Following pixels: pair {done} of {len(pairs)}")
        return flows

    def find_focal(
        self,
        features: Features,
        flows: Flows,
        masks: np.ndarray,
        fov: float | None,
        zoom: np.ndarray | None,
        progress: Progress | None = None,
    ) -> two_view.Focal:
        """The focal of the first frame, and whether the camera only turns. fov: horizontal, degrees, None: found.

        masks (T,H,W) bool of moving pixels; zoom (T,): focal of every frame over that of the first one, None: all 1.
        """
        width = features.frames.shape[2]
        focal = two_view.find_focal(flows, masks, width, zoom, report=_telling(progress, 1, "Finding the focal"))
        return focal if fov is None else replace(focal, pixels=float(focal_of(fov, width)), known=True)

    def predict(
        self,
        features: Features,
        edges: Edges,
        masks: np.ndarray | None = None,
        progress: Progress | None = None,
        flows: Flows | None = None,
        focal: two_view.Focal | None = None,
        zoom: np.ndarray | None = None,
        shrink: int = 1,
    ) -> Predictions:
        """Relative pose and dense depth per pair, from static pixels only.

        masks, zoom as of `find_focal`; flows: as of `flows`, measured here if left out; focal: as of `find_focal`.
        shrink: point maps have so many times fewer rows and columns; poses are found at full size all the same.
        """
        edges, (height, width) = list(edges), features.data[0].shape
        flows = self.flows(features, edges) if flows is None else flows
        moving = np.zeros(features.frames.shape[:3], bool) if masks is None else masks
        focal = self.find_focal(features, flows, moving, None, zoom) if focal is None else focal
        said = []
        if not focal.known:
            said.append("The field of view could not be told from this clip; 60 degrees are assumed.")
        wanted = {edge: flows[edge] for edge in edges if edge in flows}
        report = _telling(progress, POSES, "Comparing pairs of frames")
        relative = two_view.relative_poses(wanted, moving, focal, zoom, report)
        if not any(r.parallax for r in relative.values()):
            said.append("No depth can be seen in this clip: the scene is shown flat.")
        focals = focal.pixels * (np.ones(len(moving)) if zoom is None else zoom)
        view = _View(features.data, flows, relative, focals, moving)
        angle = Camera.centred(focal.pixels, width, height).fov[0]
        return Predictions(
            _predictions(view if shrink == 1 else view.shrunk(shrink), edges, progress), angle, tuple(said)
        )


def _telling(progress, share, text):
    """Reports of a step that is that share of the whole."""
    return lambda fraction: progress(share * fraction, text) if progress else None


@dataclass(frozen=True)
class _View:
    """What the points of a pair are made from."""

    grey: list  # T images (H,W) uint8
    flows: Flows
    relative: dict  # (i, j) -> RelativePose
    focals: np.ndarray  # (T,) pixels
    moving: np.ndarray  # (T,H,W) bool

    def shrunk(self, factor: int) -> "_View":
        """The same clip with so many times fewer pixels along each side."""
        height, width = self.grey[0].shape
        size = width // factor, height // factor
        scale = np.float32(width / size[0]), np.float32(height / size[1])

        def smaller(image: np.ndarray) -> np.ndarray:
            return cv2.resize(image, size, interpolation=cv2.INTER_AREA)

        def flow(f: Flow) -> Flow:
            consistent = smaller(f.consistent.astype(np.float32)) > 0.5
            return Flow((smaller(f.target) + 0.5) / scale - np.float32(0.5), consistent, smaller(f.error) / scale[0])

        moving = np.stack([smaller(m.astype(np.uint8)) > 0 for m in self.moving])
        flows = {pair: flow(self.flows[pair]) for pair in self.relative}
        return _View([smaller(g) for g in self.grey], flows, self.relative, self.focals / scale[0], moving)


def _predictions(clip, edges, progress):
    # neighbours hold the clip together, come what may
    kept = [(i, j) for i, j in edges if abs(i - j) <= 1 or clip.relative[i, j].support > SUPPORT]
    for done, pair in enumerate(in_order(lambda edge: _predict(clip, *edge), kept)):
        yield pair
        if progress:
            progress(POSES + (1 - POSES) * (done + 1) / len(kept), f"Measuring depth: pair {done + 1} of {len(kept)}")


def _predict(clip, i, j):
    if i == j:
        points, confidence = dense.flat_points(clip.grey[i].shape, clip.focals[i])
        return PairPrediction(i, j, points, points, confidence, confidence)
    views = []
    for a, b in ((i, j), (j, i)):
        of_pair = clip.flows[a, b], clip.relative[a, b], clip.focals[[a, b]]
        views.append(dense.view_points(*of_pair, clip.grey[a], clip.moving[a], clip.moving[b]))
    first, second = views
    pose = clip.relative[i, j]
    in_i = (second[0] - pose.translation) @ pose.rotation  # X_j = R X_i + t, so X_i = R^T (X_j - t)
    return PairPrediction(i, j, first[0], in_i.astype(np.float32), first[1], second[1])


def _tokens(frames):
    height, width = frames.shape[1:3]
    cell = max(4, round(max(height, width) / COLUMNS))
    size = width // cell, height // cell
    place = np.stack(np.meshgrid(np.arange(size[0]) / size[0], np.arange(size[1]) / size[1]), axis=-1) * 120

    def of_frame(frame: np.ndarray) -> np.ndarray:
        lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(np.float32)
        light = lab[..., 0]
        variance = cv2.blur(light**2, (cell, cell)) - cv2.blur(light, (cell, cell)) ** 2
        features = np.concatenate([lab, np.sqrt(np.maximum(variance, 0))[..., None]], axis=-1)
        return np.concatenate([cv2.resize(features, size, interpolation=cv2.INTER_AREA), place], axis=-1)

    return np.stack(list(in_order(of_frame, frames))).astype(np.float32)


def _compared(greys: list[np.ndarray], flows: Flows, i: int, j: int) -> tuple[Flow, Flow]:
    """Flows i -> j and j -> i, of i < j, from those of frames nearer to each other where there are any."""
    there, back = _led(flows, i, j), _led(flows, j, i)
    if there is None or back is None or not is_far(there):
        return both_ways(greys[i], greys[j])
    led = there, back
    fresh = both_ways(greys[i], greys[j], led)
    return confirmed(*likelier(greys[i], greys[j], (fresh[0].target, fresh[1].target), led))


def _led(flows: Flows, i: int, j: int) -> np.ndarray | None:
    """Where the pixels of frame i are in frame j, (H,W,2), as flows of nearer frames and of neighbours say."""
    step = 1 if j > i else -1
    last = next((k for k in range(j - step, i, -step) if (i, k) in flows), None)
    if last is None or any((k, k + step) not in flows for k in range(last, j, step)):
        return None
    target = flows[i, last].target
    for k in range(last, j, step):
        target = sample(flows[k, k + step].target, target)
    return target
