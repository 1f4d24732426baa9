"""The preview backbone: optical flow and epipolar geometry where DUSt3R has a network."""

from dataclasses import dataclass, field, replace

import cv2
import numpy as np

from ...camera import Camera, focal_of
from ..base import Features, MotionEvidence, PairPrediction
from . import dense, evidence, two_view
from .matches import flow_both_ways

COLUMNS = 64  # tokens along the longer side: fewer swallow what is near a moving object, more fall apart
SUPPORT = 0.3  # share of a pair's pixels that must agree on its pose for the pair to count


@dataclass
class _Clip:
    """What the preview keeps about a clip between its passes."""

    grey: list  # T images (H,W) uint8
    tokens: np.ndarray  # (T,h,w,6) float32
    flows: dict = field(default_factory=dict)  # (i, j) -> Flow, filled by pass 1


class PreviewBackbone:
    """Two-view geometry with OpenCV; see Backbone for the interface. Instances hold nothing of a run."""

    name = "preview"
    patch = 16
    max_side = 512
    device = "cpu"
    note = (
        "Quick preview without a neural network: good for masks and camera rotation, rough in depth. "
        "DUSt3R would give solid surfaces."
    )

    def encode(self, frames, progress=None):
        """Grey images and token features for clustering: colour (Lab), texture, position."""
        grey = [cv2.cvtColor(f, cv2.COLOR_RGB2GRAY) for f in frames]
        clip = _Clip(grey, _tokens(frames))
        return Features(frames, clip, info={"name": self.name, "weights": None}, flows=clip.flows)

    def motion(self, features, edges, progress=None):
        """Pass 1: flow over all pairs, and what the camera's motion does not explain of it."""
        clip, frames = features.data, features.frames
        pairs = sorted({(min(e), max(e)) for e in edges if e[0] != e[1]})
        for done, (i, j) in enumerate(pairs):
            clip.flows[i, j], clip.flows[j, i] = flow_both_ways(clip.grey[i], clip.grey[j])
            if progress:
                progress((done + 1) / len(pairs), f"Following pixels: pair {done + 1} of {len(pairs)}")
        value, maps = evidence.frame_evidence(frames, clip.flows)
        size = clip.tokens.shape[2], clip.tokens.shape[1]
        return MotionEvidence(
            maps={name: _to_tokens(m, size) for name, m in maps.items()},
            dynamic=_to_tokens(value, size),
            tokens=clip.tokens,
            cluster_weight=0.3,
            limits=(evidence.NOISE, evidence.SURE),
        )

    def geometry(self, features, edges, masks=None, progress=None):
        """Pass 2: relative pose and dense depth per pair, from static pixels only."""
        clip = features.data
        height, width = clip.grey[0].shape
        moving = np.zeros((len(clip.grey), height, width), bool) if masks is None else masks
        for i, j in edges:  # pass 1 may have been skipped
            if i != j and (i, j) not in clip.flows:
                clip.flows[i, j], clip.flows[j, i] = flow_both_ways(clip.grey[i], clip.grey[j])
        focal = two_view.find_focal(clip.flows, moving, width, features.zoom)
        if features.fov is not None:
            focal = replace(focal, pixels=focal_of(features.fov, width), known=True)
        features.info["focal"] = "given" if features.fov is not None else "estimated" if focal.known else "assumed"
        features.fov = Camera.centred(focal.pixels, width, height).fov[0]
        if not focal.known:
            features.warnings.append("The field of view could not be told from this clip; 60 degrees are assumed.")
        relative = two_view.relative_poses(clip.flows, moving, focal, features.zoom)
        if not any(r.parallax for r in relative.values()):
            features.warnings.append("No depth can be seen in this clip: the scene is shown flat.")
        focals = focal.pixels * (np.ones(len(clip.grey)) if features.zoom is None else features.zoom)
        return self._predictions(clip, edges, relative, focals, moving, progress)

    def _predictions(self, clip, edges, relative, focals, moving, progress):
        for done, (i, j) in enumerate(edges):
            if abs(i - j) <= 1 or relative[i, j].support > SUPPORT:  # neighbours hold the clip together, come what may
                yield _predict(clip, i, j, relative, focals, moving)
            if progress:
                progress((done + 1) / len(edges), f"Measuring depth: pair {done + 1} of {len(edges)}")


def _predict(clip, i, j, relative, focals, moving):
    if i == j:
        points, confidence = dense.flat_points(clip.grey[i].shape, focals[i])
        return PairPrediction(i, j, points, points, confidence, confidence)
    pose = relative[i, j]
    first = dense.view_points(clip.flows[i, j], pose, focals[[i, j]], clip.grey[i], moving[i], moving[j])
    second = dense.view_points(clip.flows[j, i], relative[j, i], focals[[j, i]], clip.grey[j], moving[j], moving[i])
    in_i = (second[0] - pose.translation) @ pose.rotation  # X_j = R X_i + t, so X_i = R^T (X_j - t)
    return PairPrediction(i, j, first[0], in_i.astype(np.float32), first[1], second[1])


def _tokens(frames):
    height, width = frames.shape[1:3]
    cell = max(4, round(max(height, width) / COLUMNS))
    size = width // cell, height // cell
    place = np.stack(np.meshgrid(np.arange(size[0]) / size[0], np.arange(size[1]) / size[1]), axis=-1) * 120
    tokens = []
    for frame in frames:
        lab = cv2.cvtColor(frame, cv2.COLOR_RGB2LAB).astype(np.float32)
        light = lab[..., 0]
        variance = cv2.blur(light**2, (cell, cell)) - cv2.blur(light, (cell, cell)) ** 2
        features = np.concatenate([lab, np.sqrt(np.maximum(variance, 0))[..., None]], axis=-1)
        tokens.append(np.concatenate([cv2.resize(features, size, interpolation=cv2.INTER_AREA), place], axis=-1))
    return np.stack(tokens).astype(np.float32)


def _to_tokens(maps, size):
    return np.stack([cv2.resize(np.ascontiguousarray(m), size, interpolation=cv2.INTER_AREA) for m in maps]).astype(
        np.float32
    )
