"""Steps that recipes share."""

import contextlib
import time
from collections.abc import Iterator

import numpy as np

from .. import alignment, cleanup
from ..backbones.base import Progress
from ..camera import Camera
from ..errors import InputError
from ..motion import Motion
from ..motion.evidence import BEFORE_SAM2
from ..motion.refine import by_sam2
from ..options import Options
from ..own_masks import OwnMasks
from .base import Estimate


class Clock:
    """Seconds per step, and one progress bar over all steps: `shares` name -> share of the bar, in order.

    With `Options.sam2` half of the bar is for that, before the last step.
    """

    def __init__(self, progress: Progress | None, shares: dict[str, float], options: Options) -> None:
        self._report, self._shares = progress or (lambda fraction, text: None), shares
        if options.sam2:
            halved = {name: share / 2 for name, share in shares.items()}
            last = halved.popitem()
            self._shares = {**halved, "sam2": 0.5, last[0]: last[1]}
        self._step, self._text, self._began, self._told = "", "", 0.0, 0.0
        self.seconds: dict[str, float] = {}

    def start(self, step: str, text: str) -> None:
        """End the step before, begin the next one; text: what is being done, for the user."""
        self.stop()
        self._step, self._text, self._began = step, text, time.perf_counter()
        names = list(self._shares)
        self._base = sum(self._shares[name] for name in names[: names.index(step)])
        self.progress(0)

    def stop(self) -> None:
        """End the step."""
        if self._step:
            before = self.seconds.get(self._step, 0.0)  # it may have been interrupted by another
            self.seconds[self._step] = round(before + time.perf_counter() - self._began, 3)
            self._step = ""

    @contextlib.contextmanager
    def interrupted(self, step: str, text: str) -> Iterator[None]:
        """Another step in the midst of the current one."""
        current = self._step, self._text
        self.start(step, text)
        yield
        self.start(*current)

    def progress(self, fraction: float, text: str | None = None) -> None:
        """Progress within the current step."""
        self._told = max(self._told, min(1.0, self._base + self._shares[self._step] * fraction))  # never back
        self._report(self._told, text or self._text)

    def part(self, begin: float, end: float) -> Progress:
        """Progress within that part, of [0,1], of the current step."""
        return lambda fraction, text: self.progress(begin + (end - begin) * fraction, text)


TURNS = "The camera only turns or stands still"
GUESSED = "how far things are is guessed from the ground they stand on"
FLAT = "the scene is shown flat, as a panorama"


def turning_sentence(shown: str) -> str:
    """For the user, of a camera that only turns; shown: what there is in place of depth, such as `GUESSED`."""
    return f"{TURNS}, so no depth can be seen: {shown}."


def given_masks(masks: np.ndarray | OwnMasks | None, shape: tuple[int, int, int]) -> OwnMasks:
    """Masks of the user, of T frames of H x W (`shape`), as `OwnMasks`; of None: for no frame."""
    if isinstance(masks, OwnMasks):
        return masks
    none = masks is None
    array = np.zeros(shape, bool) if masks is None else np.asarray(masks, bool)
    if array.shape != tuple(shape):
        raise InputError(f"Masks have shape {array.shape}; with these frames it must be {tuple(shape)}.")
    return OwnMasks(array, np.full(shape[0], not none), ())


def sharpened(
    motion: Motion, frames: np.ndarray, options: Options, clock: Clock, known: np.ndarray | None = None
) -> tuple[Motion, tuple[str, ...], dict]:
    """With `Options.sam2` the motion with the masks that SAM 2 makes of its own, what to say of it and what a report
    says; else as it is. The masks before are then in its maps, as "before_sam2".

    frames (T,H,W,3) uint8. known (T,) bool: frames whose mask says something; None: all.
    """
    if not options.sam2:
        return motion, (), {}
    with clock.interrupted("sam2", "Sharpening outlines"):
        found = by_sam2(motion.dynamic, frames, known, progress=clock.progress)
    maps = {**motion.maps, BEFORE_SAM2: motion.dynamic.astype(np.float32)} if found.info else motion.maps
    return Motion(found.masks, motion.values, maps), found.warnings, {"sam2": found.info}


def align(
    store: alignment.Store,
    frames: np.ndarray,
    motion: Motion,
    options: Options,
    fov: float | None,
    zoom: np.ndarray | None,
    clock: Clock,
    info: dict,
    known: np.ndarray | None = None,
    device: str = "cpu",
) -> Estimate:
    """Cameras, depth and confidence of aligned and cleaned predictions.

    frames (T,H,W,3) uint8; fov: horizontal, degrees, of the first frame, None: found; zoom (T,): focal of every frame
    over that of the first one, None: it does not change. info goes into the estimate, with the aligner's objective.
    known: see `sharpened`; what moved before it is kept out of the cameras as well, as a missed mover does harm there.
    device: see `alignment.solve`.
    """
    n_frames, height, width = frames.shape[:3]
    before = motion.dynamic
    motion, sharp, told = sharpened(motion, frames, options, clock, known)
    world = alignment.solve(
        store,
        n_frames,
        before | motion.dynamic,
        fov,
        clock.progress,
        smooth=options.smooth,
        frames=frames if options.flow else None,
        zoom=zoom,
        device=device,
    )
    focals = world.focal * (np.ones(n_frames) if zoom is None else zoom)
    cameras = [Camera.centred(focal, width, height) for focal in focals]
    depth, confidence = cleanup.apply(world.depth, world.confidence, world.cam2world, cameras, motion.dynamic)
    intrinsics = np.stack([camera.intrinsics for camera in cameras])
    said, info = [*world.warnings, *sharp], {**info, **told, "objective": world.objective}
    if zoom is not None:
        said.insert(0, zoom_sentence(zoom))
    return Estimate(world.cam2world, intrinsics, depth, confidence, motion, tuple(said), info)


def zoom_sentence(zoom: np.ndarray) -> str:
    """For the user, of a lens that zooms; zoom (T,): focal of every frame over that of the first one."""
    return (
        f"The lens zooms while filming ({zoom[-1] / zoom[0]:.2f} times from first to last frame): each frame has "
        "its own focal (camera.gltf, which cannot zoom, has the mean)."
    )
