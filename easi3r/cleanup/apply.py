"""The clean-up as a whole."""

from collections.abc import Sequence

import numpy as np

from ..camera import Camera
from ..errors import InputError
from ..large import each
from .floaters import remove_floaters
from .objects import place_objects


def apply(
    depth: np.ndarray,
    confidence: np.ndarray,
    cam2world: np.ndarray,
    cameras: Sequence[Camera],
    masks: np.ndarray | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Depth and confidence after the clean-up, new arrays (T,H,W) float32; what is given stays as it is.

    depth (T,H,W): z depth, positive, in units of cam2world. confidence (T,H,W): as a network gives it, at least 1, or 0
    where unusable; a moving pixel of confidence 1 has a depth that nothing measured. cam2world (T,4,4). cameras: T of
    the size W x H. masks (T,H,W) bool of moving pixels, or None.

    Moving objects of unmeasured depth are put on the ground; what floats before a surface that another frame is surer
    of gets confidence 0. Raises InputError if the arrays do not fit each other.
    """
    given = {"confidence": confidence} if masks is None else {"confidence": confidence, "masks": masks}
    wrong = [f"{name} {array.shape}" for name, array in given.items() if array.shape != depth.shape]
    if not len(depth) == len(cam2world) == len(cameras):
        wrong.append(f"{len(cam2world)} poses and {len(cameras)} cameras")
    if wrong:
        raise InputError(f"depth {depth.shape} does not fit {', '.join(wrong)}: give the same frames at the same size.")
    if masks is not None:
        depth = place_objects(depth, confidence, masks)
    return each(lambda z: z.astype(np.float32), depth), remove_floaters(depth, confidence, cam2world, cameras, masks)
