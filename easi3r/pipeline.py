"""reconstruct(): the steps of the method, in order."""

import platform
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from . import __version__, agreement, darkness, video
from .backbones.base import Progress, check_progress
from .backbones.weights import sam2
from .bars import find_rim
from .decode import nearest_of
from .errors import InputError, shown
from .large import each, give_back, picked, some, zeros
from .motion import Motion
from .options import Options, check_options
from .overlays import find_overlay
from .own_masks import read_masks
from .paths import check_name
from .reconstruction import Masked, Reconstruction, only_turns
from .scale import parse_scale, sized
from .system import Estimate, System, load_system
from .system.base import Coarse, Part, Stage
from .system.steps import TURNS
from .windows import stages as system_stages

_READING, _CHECKING = 0.05, 0.03  # of the progress bar
_LARGE = 0.22  # share of the picture; captions have up to .2, four clips in one .24, one over the other .32
_LIBRARIES = ("torch", "numpy", "opencv-python-headless")


def reconstruct(
    source: Any,
    system: System | str = "auto",
    options: Options | None = None,
    masks: Any = None,
    progress: Progress | None = None,
    resume: str | Path | None = None,
) -> Reconstruction:
    """Cameras, motion masks and 4D geometry of a clip; returns a `Reconstruction`.

    source: path of a video, an image or a folder of images; a list of image paths; frames (T,H,W,3) uint8 RGB; or what
    `video.read` made of one of these.
    system: from `load_system`, or its name. masks: what moves, if you know it better: a video, PNGs or an array, see
    `own_masks.read_masks`; where given, they replace the masks found here. progress(fraction, text), fraction in [0,1],
    is called often from this thread; what it raises ends the run and reaches the caller (that is how to cancel).
    resume: a folder, made if missing, in which the parts of a long clip that are done are kept; a run that was stopped
    goes on from them if it is started again with the same. It is yours to delete.

    Large arrays of the result lie in files without a name, which go with it. Without `resume`, writes no other file and
    keeps no state. Raises `InputError` if the source cannot be read or is too small, or
    `options.scale` names what lies outside of it; a length that its scene does not show leaves it without a size, which
    is then its first warning.
    """
    result = deque(stages(source, system, options, masks, progress, resume), maxlen=1).pop()  # keeps none of the others
    assert isinstance(result, Reconstruction)  # the last one always is
    return result


def stages(
    source: Any,
    system: System | str = "auto",
    options: Options | None = None,
    masks: Any = None,
    progress: Progress | None = None,
    resume: str | Path | None = None,
) -> Iterator[Masked | Reconstruction]:
    """What is known of a clip while it is computed, to show it early: see `reconstruct`, which gives the last of these.

    First `Masked`, then a `Reconstruction` that is `coarse` as soon as cameras stand, where the system has them before
    the end; each replaces the one before. Of a long clip, all but the last may be of some frames.
    """
    options, report = check_options(options), check_progress(progress)
    if options.sam2:
        sam2.check(progress)  # and fetch: before the minutes that a run may take
    system = load_system(system, progress=progress) if isinstance(system, str) else system
    if not hasattr(system, "max_side"):
        raise InputError(f"The system is {shown(system)}; give a name, or what load_system gave.")
    began = time.perf_counter()
    report(0, "Reading the video")
    clip = video.read(source, options.max_frames, system.max_side, system.patch, options.shot)
    scale = None if options.scale is None else parse_scale(options.scale)
    if scale:
        scale.check(clip.framing, len(clip.frames))
    own = None if masks is None else read_masks(masks, clip)
    if not clip.shows.any():
        raise InputError(
            f"Of '{clip.name}' the frames used ({len(clip.frames)}) show nothing of the scene: they are black, "
            "covered or of one colour. Use more frames, or leave these out."
        )
    showing = picked(clip.frames, clip.shows)
    frames, said = _legible(showing)  # the others take no part in anything until the end
    looked = some(showing)
    overlay = find_overlay(looked)
    if overlay.any():
        said.append(_laid_over(overlay.mean()))
    overlay |= find_rim(looked)
    info = {
        "source": clip.name,
        "source_frames": clip.n_source_frames,
        "frame_numbers": clip.positions.tolist(),
        "frames": len(clip.frames),
        "frames_left_out": np.flatnonzero(~clip.shows).tolist(),
        "size": list(clip.framing.size),
        "system": system.name,
    }
    reading = {"read": round(time.perf_counter() - began, 3)}
    given = _showing(clip, frames), options, own and own.at(clip.shows)
    known: Stage | None = None
    folder = None if resume is None else Path(check_name(resume))
    for stage in system_stages(system, *given, _part(report, _READING, 1 - _CHECKING), folder):
        part, masks = clip, own
        if isinstance(stage, Part):
            part, masks = _those(clip, own, np.flatnonzero(clip.shows)[stage.numbers])
            stage = stage.known
        if isinstance(stage, Motion):
            yield Masked(part.frames, part.timestamps, _moving(part, stage, overlay, masks))
        elif isinstance(stage, Coarse):
            told = {
                **info,
                "frames": len(part.frames),
                "coarse": True,
                "warnings": [*clip.warnings, *said],
                "seconds": reading,
            }
            yield sized(Reconstruction(**_in_time(part, stage, overlay, masks), info=told), scale)
        known = stage
    report(1 - _CHECKING, "Checking the result")
    assert isinstance(known, Estimate)  # as a system promises
    checked = _checked(frames, known, overlay) if len(frames) > 1 else None
    said += own.warnings if own else ()
    sharpened = known.info.get("sam2")
    if own and sharpened:
        said.append("SAM 2 has redrawn your masks; leave it out to have them as they are.")
    said += [*_warnings(len(frames), known), *known.warnings]
    left = replace(own, known=own.known & ~clip.shows) if own and sharpened else own
    info |= {
        "weights": known.info.get("backbone", {}).get("weights"),
        **_told(known.info, options),
        "options": asdict(options),
        "masks": ("estimated" if own is None else own.summary) + ", outlines by SAM 2" * bool(sharpened),
        "check": checked and checked.report(),
        "warnings": [*(checked.warnings if checked else ()), *clip.warnings, *said],
        "seconds": {**reading, **known.info.get("seconds", {})},
        "versions": {"easi3r": __version__, "python": platform.python_version(), **_versions()},
    }
    yield sized(Reconstruction(**_in_time(clip, known, overlay, left), info=info), scale)


def _told(info, options):
    """What the system says of its work; windows that were given a focal have it from others unless the user gave it."""
    network = info.get("backbone", {})
    if options.fov is not None or network.get("focal") != "given":
        return info
    return {**info, "backbone": {**network, "focal": "estimated"}}


def _part(report, begin, end):
    return lambda fraction, text: report(begin + (end - begin) * fraction, text)


def _checked(frames, estimate, overlay):
    geometry = estimate.depth, estimate.cam2world, estimate.intrinsics
    return agreement.check(frames, *geometry, estimate.motion.dynamic, overlay=overlay)


def _versions():
    return {name: version(name) for name in _LIBRARIES}


def _those(clip, own, numbers):
    """The `Video` and the user's masks of some frames."""
    others = {name: getattr(clip, name)[numbers] for name in ("timestamps", "positions", "shows")}
    return replace(clip, frames=picked(clip.frames, numbers), **others), own and own.at(numbers)


def _showing(clip, frames):
    """The `Video` of those frames that show the scene, as they are looked at: `frames`."""
    kept = clip.shows
    return replace(
        clip,
        frames=frames,
        timestamps=clip.timestamps[kept],
        positions=clip.positions[kept],
        shows=np.ones(len(frames), bool),
    )


def _laid_over(share):
    if share < _LARGE:
        return "Something is laid over the picture, such as a logo, a date or captions; it was left out of the scene."
    return (
        f"Something that does not move covers {share:.0%} of the picture, as an inset, a second clip beside this one, "
        "or the inside of a car; it was left out of the scene, and what is left may be wrong. Crop the clip if you can."
    )


def _legible(frames):
    """The frames (T,H,W,3) as they are looked at, and sentences on that: faded, noisy or of hardly any contrast, a
    scene is brought out first.
    """
    noisy = darkness.is_noisy(frames)
    if not noisy and not darkness.is_faint(frames):
        return darkness.evened(frames), []
    dark = darkness.is_dark(frames)
    if noisy:
        what = "The clip is so dark and noisy that little" if dark else "Little"
        said = f"{what} of the scene can be told from noise: masks, depth and cameras are unsure."
    else:
        what = "is very dark" if dark else "has hardly any contrast"
        said = f"The clip {what}; the scene was brought out before anything was looked for, and is less sure."
    return darkness.brought_out(frames, noisy), [said + " Film with more light." * dark]


def _in_time(clip, estimate, overlay, own):
    """The arrays of a `Reconstruction`: what is known of the frames that show the scene fills the whole time line.

    The others have the camera and depth of the nearest of these, and nothing (0, False) of everything else. What is
    laid over the picture, `overlay` (H,W) bool, has no confidence and does not move.
    """
    nearest = nearest_of(np.flatnonzero(clip.shows), np.arange(len(clip.shows)))
    confidence = estimate.confidence
    if overlay.any():
        confidence = each(lambda frame: np.where(overlay, np.float32(0), frame), confidence)
    return {
        "frames": clip.frames,
        "timestamps": clip.timestamps,
        "cam2world": estimate.cam2world[nearest],
        "intrinsics": estimate.intrinsics[nearest],
        "depth": picked(estimate.depth, nearest),
        "confidence": _filled(clip, confidence),
        "dynamic": _moving(clip, estimate.motion, overlay, own),
        "motion": _filled(clip, estimate.motion.values),
        "evidence": {name: _filled(clip, array) for name, array in estimate.motion.maps.items()},
        "framing": clip.framing,
    }


def _filled(clip, array):
    """Of the whole time line: `array`, of those frames that show the scene, and nothing (0, False) of the others."""
    if clip.shows.all():
        return array
    whole = zeros((len(clip.shows), *array.shape[1:]), array.dtype)
    for frame, t in zip(array, np.flatnonzero(clip.shows)):
        whole[t] = frame
    give_back([array, whole])
    return whole


def _moving(clip, motion, overlay, own):
    moves = _filled(clip, each(lambda frame: frame & ~overlay, motion.dynamic) if overlay.any() else motion.dynamic)
    return moves if own is None else own.over(moves)


def _warnings(n_frames: int, estimate: Estimate) -> list[str]:
    said, dynamic = [], estimate.motion.dynamic
    if n_frames == 1:
        said.append("There is only one frame: nothing can be told about motion, and depth is a guess. Give a video.")
    elif n_frames < 6:
        said.append(f"There are only {n_frames} frames; motion and depth become clearer with ten or more.")
    elif only_turns(estimate.cam2world, estimate.depth) and not any(TURNS in told for told in estimate.warnings):
        said.append("The camera hardly moves in this clip, so its depth is unsure. Walk a few steps while filming.")
    if n_frames > 1 and not dynamic.any() and estimate.motion.maps:
        said.append("Nothing in this clip was found to move on its own; everything is shown as static.")
    if dynamic.mean() > 0.6:
        said.append("More than half of the picture moves; the camera path is a rough guess.")
    return said
