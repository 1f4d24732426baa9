"""What is given and what is solved for: `Problem` and `State` of the frames that pairs connect."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ..camera import invert
from .arrays import Array, to
from .similarity import retraction
from .store import Store, View
from .unknowns import Unknowns

# Predictions err more the farther apart the two frames are, and confidence does not say so; and their errors fall
# faster than the reciprocal of log confidence. On 12 rendered and 3 golden problems both powers lower ATE and AbsRel at
# a cost of at most 0.5 % of the objective.
GAP_POWER = -0.3
CONFIDENCE_POWER = 2
FLOOR = np.float32(1e-4)  # weight of a known point with no information: a pixel no pair is sure of still has a depth
# Point maps err most along the rays; the directions in which a camera sees them are surer. Of 300 frames of the room
# the share 0.2 lowers the ATE from 1.49 to 1.10 % of the path; the golden clips prefer 0.3. Zero leaves scales open.
ALONG = 0.3
STATIC_SHARE = 0.02  # a frame with less of its pixels static lets all of them speak
LONGEST_FOCAL_STEP = 0.2  # of the log focal
STACKED = 2**22  # views times samples that go to a GPU at once: formulas take some 45 numbers for each, 0.8 GB


@dataclass(frozen=True)
class FlowMatches:
    """Samples of frame i that the optical flow found again in frame j."""

    i: int
    j: int
    samples: np.ndarray  # (n,) int, which of the N samples of frame i
    targets: np.ndarray  # (n,2) float64, their pixels in frame j from its centre, divided by the zoom of frame j


@dataclass(frozen=True)
class Stack:
    """Frames of a `Problem` side by side on its device, padded to as many views with such as weigh nothing."""

    frames: list[int]
    samples: Array  # (T,n,3,N) float32
    weights: Array  # (T,n,N) float32


@dataclass(frozen=True)
class Problem:
    """One connected part of a clip's pair graph: T frames and E pairs in the clip, N sampled pixels per frame."""

    frames: list[int]  # of this part, ascending; the first one's camera is held (gauge)
    ends: list[tuple[int, int]]  # (i, j) of all E pairs of the clip
    views: dict[int, list[View]]  # of every frame, (e, side): point maps of it that the cameras are solved from
    samples: dict[
        int, np.ndarray
    ]  # (n,3,N) float16 of every frame: points of its n views, in their pair's first camera
    weights: dict[int, np.ndarray]  # (n,N) float32 >= 0; 0 = unknown, or moving
    pixels: np.ndarray  # (T,N,2) float64, the samples from the principal point, divided by the frame's zoom
    shape: tuple[int, int]  # (H, W) of the frames
    matches: tuple[FlowMatches, ...] = ()  # of the flow term; without them there is none
    along: float = ALONG  # what a distance along a ray counts, against one across it
    crowded: int = 0  # frames in which nearly everything moves, so that moving pixels speak as well
    device: str = "cpu"  # torch's name of where the point term is computed

    @cached_property
    def unknowns(self) -> Unknowns:
        """Their order in the normal equations."""
        return Unknowns(self.frames, self.ends, self.views)

    @cached_property
    def stacks(self) -> list[Stack]:
        """All frames, in their order."""
        most = max(len(views) for views in self.views.values())
        length = max(1, STACKED // (most * self.pixels.shape[1]))
        groups = [self.frames[at : at + length] for at in range(0, len(self.frames), length)]

        def stacked(arrays: dict[int, np.ndarray], group: list[int]) -> Array:
            return to(self.device, _padded([arrays[v] for v in group], most))

        return [Stack(group, stacked(self.samples, group), stacked(self.weights, group)) for group in groups]

    def rays(self, v: int, focal: float) -> np.ndarray:
        """(N,3) float64, z = 1: rays of the samples of frame v."""
        return np.concatenate([self.pixels[v] / focal, np.ones((self.pixels.shape[1], 1))], 1)


@dataclass(frozen=True)
class State:
    """What is solved for, in an arbitrary unit of length."""

    cam2world: np.ndarray  # (T,4,4) float64, rigid; the identity for frames outside the part
    similarity: np.ndarray  # (E,4,4) float64 [s R | t]: stored points of a pair -> world
    depth: dict[int, np.ndarray]  # (N,) float32 of every frame of the part: z of its samples
    focal: float  # pixels, of the first frame

    def is_finite(self) -> bool:
        return all(bool(np.isfinite(a).all()) for a in (self.cam2world, self.similarity, self.focal))


def _padded(arrays: list[np.ndarray], length: int) -> np.ndarray:
    """Arrays (n,...) side by side, (T,length,...), zeros where one is shorter."""
    padded = np.zeros((len(arrays), length, *arrays[0].shape[1:]), arrays[0].dtype)
    for row, array in zip(padded, arrays):
        row[: len(array)] = array
    return padded


def pose_problem(
    store: Store,
    used: set[int],
    frames: list[int],
    n_frames: int,
    masks: np.ndarray | None,
    zoom: np.ndarray,
    device: str = "cpu",
) -> Problem:
    """The `Problem` of one connected part: its frames, solved from the pairs `used`.

    masks (T,H,W) bool of moving pixels or None, zoom (T,) focal of every frame over that of the first one, device: see
    `Problem`.
    """
    height, width = store.shape
    pixels = np.stack([store.grid % width - width / 2, store.grid // width - height / 2], 1).astype(np.float64)
    every = store.views(n_frames)
    views = {v: [view for view in every[v] if view[0] in used] for v in frames}
    samples, weights, crowded = {}, {}, 0
    for v in frames:
        planes = np.stack([store.sample(view) for view in views[v]])
        gap = np.array([max(1, abs(np.subtract(*store.ends[e]))) for e, _ in views[v]], np.float32)
        weights[v] = _weights(planes[:, 3].astype(np.float32), gap)
        samples[v] = np.ascontiguousarray(planes[:, :3])
        if masks is not None:
            static = ~masks[v].ravel()[store.grid]
            if static.mean() >= STATIC_SHARE:
                weights[v] *= static
            else:
                crowded += 1
    pixels = pixels / zoom[:, None, None]
    size = store.shape
    return Problem(frames, store.ends, views, samples, weights, pixels, size, crowded=crowded, device=device)


def _weights(confidence: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """(n,N) float32 of confidences (n,N), 0 = unknown, and numbers (n,) of frames between the two of the pair."""
    weight = np.log(np.maximum(confidence, 1)) ** CONFIDENCE_POWER + FLOOR * (confidence > 0)
    return weight * gap[:, None] ** np.float32(GAP_POWER)


def retract(problem: Problem, state: State, step: np.ndarray) -> tuple[State, float]:
    """The state moved by a step (size + 1,) in the order of `problem.unknowns`; depths stay.

    Also returns the largest change of a rotation (radians) or of a pair's log scale. Cameras move in their own frame,
    pairs in the new frame of their first camera, the focal by a factor.
    """
    unknowns = problem.unknowns
    cameras, pairs = unknowns.split(step, len(state.cam2world))
    first = [problem.ends[e][0] for e in unknowns.pairs]
    own = invert(state.cam2world[first]) @ state.similarity[unknowns.pairs]
    cam2world, similarity = state.cam2world @ retraction(cameras), state.similarity.copy()
    similarity[unknowns.pairs] = cam2world[first] @ retraction(pairs) @ own
    focal = state.focal * float(np.exp(np.clip(step[-1], -LONGEST_FOCAL_STEP, LONGEST_FOCAL_STEP)))
    change = max(float(np.abs(a).max()) for a in (cameras[:, :3], pairs[:, :3], pairs[:, 6]))
    return State(cam2world, similarity, state.depth, focal), change
