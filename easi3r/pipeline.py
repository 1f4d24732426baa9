"""reconstruct(): the steps of the method, in order."""

import platform
import time
from dataclasses import asdict
from importlib.metadata import version

import numpy as np

from . import alignment, cleanup, darkness, pairs, video
from .camera import Camera
from .errors import InputError
from .motion import estimate_masks
from .options import Options
from .overlays import find_overlay
from .own_masks import read_masks
from .reconstruction import Reconstruction
from .zoom import find_zoom

# Share of the progress bar that each step takes.
_STEPS = {"read": 0.05, "encode": 0.05, "motion": 0.3, "masks": 0.1, "geometry and alignment": 0.5}

_LEAST_PATH = 0.02  # extent of the camera path, as a share of the median depth, that lets depth be seen


def reconstruct(source, backbone, options=None, progress=None, masks=None):
    """Cameras, motion masks and 4D geometry of a clip; returns a `Reconstruction`.

    source: path of a video, an image or a folder of images; a list of image paths; frames (T,H,W,3) uint8 RGB; or what
    `video.read` made of one of these.
    backbone: from `load_backbone`. options: `Options`. progress(fraction, text), fraction in [0,1], is called often
    from this thread; what it raises ends the run and reaches the caller (that is how to cancel). masks: what moves, if
    you know it
    better: a video, PNGs or an array, see `own_masks.read_masks`; where given, they replace the masks found here.

    Writes no file and keeps no state. Raises `InputError` if the source cannot be read or is too small.
    """
    options = options or Options()
    clock = _Clock(progress or (lambda fraction, text: None))

    clock.start("read", "Reading the video")
    clip = video.read(source, options.max_frames, backbone.max_side, backbone.patch, options.shot)
    own = None if masks is None else read_masks(masks, clip)
    if not clip.shows.any():
        raise InputError(
            f"Of '{clip.name}' the frames used ({len(clip.frames)}) show nothing of the scene: they are black, "
            "covered or of one colour. Use more frames, or leave these out."
        )
    frames, said = _legible(clip.frames[clip.shows])  # the others take no part in anything until the end
    overlay = find_overlay(clip.frames[clip.shows])
    if overlay.any():
        said.append("Something is laid over the picture, such as a logo or a date; it was left out of the scene.")
    given = own and own.at(clip.shows)
    n_frames = len(frames)
    edges = pairs.build(n_frames, options.graph)

    clock.start("encode", f"Looking at {n_frames} frames")
    features = backbone.encode(frames, progress=clock.progress)

    clock.start("motion", "Looking for what moves")
    evidence = backbone.motion(features, edges, progress=clock.progress)

    clock.start("masks", "Outlining what moves")
    dynamic, motion, clusters = estimate_masks(evidence, frames, options.sensitivity, options.refine)
    dynamic = dynamic if given is None else given.over(dynamic)

    clock.start("geometry and alignment", "Measuring depth and cameras")
    features.fov, features.zoom = options.fov, find_zoom(frames, dynamic, features.flows)
    if features.zoom is not None:
        ends = features.zoom[-1] / features.zoom[0]
        said.append(
            f"The lens zooms while filming ({ends:.2f} times from first to last frame): each frame has its own focal "
            "(camera.gltf, which cannot zoom, has the mean)."
        )
    predictions = backbone.geometry(features, edges, dynamic, progress=clock.part(0, 0.5))
    with alignment.Store() as store:
        for pair in predictions:
            store.add(pair)
        if features.reweighted is not None:  # a network's second pass has looked at motion again (spec, section 4)
            evidence = features.reweighted
            again, motion, clusters = estimate_masks(evidence, frames, options.sensitivity, options.refine)
            dynamic = again if given is None else given.over(again)
        world = alignment.solve(
            store,
            n_frames,
            dynamic,
            features.fov,
            clock.part(0.5, 0.975),
            smooth=options.smooth,
            frames=frames if options.flow else None,
            zoom=features.zoom,
        )
    clock.progress(0.975, "Removing floating points")
    height, width = frames.shape[1:3]
    focals = world.focal * (np.ones(n_frames) if features.zoom is None else features.zoom)
    cameras = [Camera.centred(focal, width, height) for focal in focals]
    depth, confidence = cleanup.apply(world.depth, world.confidence, world.cam2world, cameras, dynamic)
    clock.stop()

    intrinsics = np.stack([camera.intrinsics for camera in cameras])
    maps = {
        **evidence.maps,
        "fused": evidence.dynamic,
        "clusters": clusters.astype(np.float32),
    }
    nearest, shown = _in_time(clip.shows)
    moves = shown(dynamic & ~overlay)
    return Reconstruction(
        frames=clip.frames,
        timestamps=clip.timestamps,
        cam2world=world.cam2world[nearest],
        intrinsics=intrinsics[nearest],
        depth=depth[nearest],
        confidence=shown(np.where(overlay, np.float32(0), confidence)),
        dynamic=moves if own is None else own.over(moves),
        motion=shown(motion),
        evidence={name: shown(array) for name, array in maps.items()},
        framing=clip.framing,
        info={
            "source": clip.name,
            "source_frames": clip.n_source_frames,
            "frame_numbers": clip.positions.tolist(),
            "frames": len(clip.frames),
            "frames_left_out": np.flatnonzero(~clip.shows).tolist(),
            "pairs": len(edges),
            "size": [width, height],
            "backbone": {"name": backbone.name, "device": backbone.device, **features.info},
            "options": asdict(options),
            "masks": "estimated" if own is None else own.summary,
            "objective": world.objective,
            "warnings": [
                *clip.warnings,
                *said,
                *(own.warnings if own else ()),
                *_warnings(n_frames, dynamic, world.cam2world, depth),
                *features.warnings,
                *world.warnings,
            ],
            "seconds": clock.seconds,
            "versions": {
                "python": platform.python_version(),
                **{p: version(p) for p in ("torch", "numpy", "opencv-python-headless")},
            },
        },
    )


def _legible(frames):
    """The frames (T,H,W,3) as they are looked at, and sentences on that: faded, or dark and noisy, a scene is brought
    out first.
    """
    if not darkness.is_noisy(frames):
        return darkness.evened(frames), []
    said = (
        "The clip is so dark and noisy that little of the scene can be told from noise: masks, depth and cameras are "
        "unsure. Film with more light."
    )
    return darkness.brought_out(frames), [said]


def _in_time(shows):
    """How what is known of the frames that show the scene, `shows` (T,) bool, fills the whole time line.

    Returns the nearest of these frames for each of the T frames (T,) int, and a function that spreads their arrays over
    the time line with nothing (0, False) in the others.
    """
    places = np.flatnonzero(shows)
    nearest = np.abs(np.arange(len(shows))[:, None] - places).argmin(axis=1)

    def shown(array):
        whole = np.zeros((len(shows), *array.shape[1:]), array.dtype)
        whole[places] = array
        return whole

    return nearest, shown


def _warnings(n_frames, dynamic, cam2world, depth):
    said = []
    if n_frames == 1:
        said.append("There is only one frame: nothing can be told about motion, and depth is a guess. Give a video.")
    elif n_frames < 6:
        said.append(f"There are only {n_frames} frames; motion and depth become clearer with ten or more.")
    elif np.linalg.norm(np.ptp(cam2world[:, :3, 3], axis=0)) < _LEAST_PATH * np.median(depth):
        said.append("The camera hardly moves in this clip, so its depth is unsure. Walk a few steps while filming.")
    if n_frames > 1 and not dynamic.any():
        said.append("Nothing in this clip was found to move on its own; everything is shown as static.")
    if dynamic.mean() > 0.6:
        said.append("More than half of the picture moves; the camera path is a rough guess.")
    return said


class _Clock:
    """Seconds per step, and one progress bar over all steps."""

    def __init__(self, report):
        self._report, self._step, self._began = report, None, 0.0
        self.seconds = {}

    def start(self, step, text):
        self.stop()
        self._step, self._text, self._began = step, text, time.perf_counter()
        names = list(_STEPS)
        self._base = sum(_STEPS[n] for n in names[: names.index(step)])
        self._report(self._base, text)

    def stop(self):
        if self._step:
            self.seconds[self._step] = round(time.perf_counter() - self._began, 3)

    def progress(self, fraction, text=None):
        """Progress within the current step."""
        self._report(min(1.0, self._base + _STEPS[self._step] * fraction), text or self._text)

    def part(self, low, high):
        """A progress function for a part of the current step."""
        return lambda fraction, text=None: self.progress(low + (high - low) * fraction, text)
