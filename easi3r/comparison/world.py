"""One world for results that each have their own: a similarity takes every one into that of the first."""

from dataclasses import dataclass, replace

import numpy as np
from scipy.spatial.transform import Rotation

from ..camera import pose, transform
from ..metrics import umeyama
from ..reconstruction import Reconstruction

# A path determines how the world is turned if it is bent enough: its extent across, over that along. Below this one,
# centres that drift by 1 % of the path turn the world by 1.3 degrees and more, drifting orientations by 0.3.
BENT = 0.2


@dataclass(frozen=True)
class Similarity:
    """x -> scale * rotation x + shift."""

    scale: float
    rotation: np.ndarray  # (3,3)
    shift: np.ndarray  # (3,)
    how: str  # what it was found from, for the user

    def of(self, result: Reconstruction) -> Reconstruction:
        """The same reconstruction in the other world: cameras and depth; nothing else has a place or a length."""
        moved = np.array(result.cam2world)
        moved[:, :3, :3] = self.rotation @ result.cam2world[:, :3, :3]
        moved[:, :3, 3] = transform(pose(self.scale * self.rotation, self.shift), result.cam2world[:, :3, 3])
        return replace(result, cam2world=moved, depth=(self.scale * result.depth).astype(np.float32))


def find_similarity(result: Reconstruction, first: Reconstruction) -> Similarity:
    """The `Similarity` that takes the world of a result into that of another of the same frames.

    From the camera centres (Umeyama 1991). Where these lie on a line, they leave the turn about it open: the rotation
    is the mean of those between orientations then (Markley et al. 2007), scale and shift follow from the centres. Where
    one of the cameras only turns, the scale is that between the median depths.
    """
    source, target = (each.cam2world[:, :3, 3] for each in (result, first))
    turns = result.turns_only or first.turns_only or len(source) < 2
    if not turns and min(_bent(source), _bent(target)) > BENT:
        scale, rotation, shift = umeyama(source, target)
        if scale > 0:
            return Similarity(scale, rotation, shift, "camera centres")
    relative = first.cam2world[:, :3, :3] @ np.swapaxes(result.cam2world[:, :3, :3], 1, 2)
    rotation = Rotation.from_matrix(relative).mean().as_matrix()
    a, b = (source - source.mean(axis=0)) @ rotation.T, target - target.mean(axis=0)
    scale, how = float((a * b).sum() / max((a * a).sum(), 1e-30)), "camera centres and orientations"
    if turns or scale <= 0:
        scale, how = _median_depth(first) / _median_depth(result), "orientations and median depth"
    return Similarity(scale, rotation, target.mean(axis=0) - scale * rotation @ source.mean(axis=0), how)


def _bent(centres):
    """Extent of centres (T,3) across the path over that along it: of their second and first principal axis."""
    along, across, *_ = np.linalg.svd(centres - centres.mean(axis=0), compute_uv=False)
    return across / max(along, 1e-30)


def _median_depth(result):
    usable = result.confidence > 0
    return float(np.median(result.depth[usable] if usable.any() else result.depth))
