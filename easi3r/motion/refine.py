"""Masks with better outlines, by colours alone or by SAM 2; any system's, or masks that somebody drew."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backbones.base import Progress
from ..errors import InputError, shown
from ..metrics import jaccard
from .grabcut import grabcut

METHODS = ("grabcut", "sam2")
KEPT = 60  # frames of a clip whose features are kept (16 MB each at 1024 pixels); of longer ones all are encoded twice
# Of long clips so many of the nearest prompted frames are read for each frame, by device: with all, which short ones
# read, time would grow with the square of the frames. A judgement of the specification; the quality was not measured.
NEAREST = {"cuda": 16, "cpu": 8}
CPU_SIZE = 512  # pixels, of the square that SAM 2 sees on a CPU: a sixth of the time of 1024, its own
AGREES = 0.3  # mean J of masks before and after, below which they do not show the same thing
MUCH = 0.6  # of a frame that moves: SAM 2 was made for objects before a background
_LOADING, _ENCODING = 0.05, 0.3  # of the progress bar


def sam2_seconds(n_frames: int, on_gpu: bool) -> float:
    """What SAM 2 takes for a clip, roughly: large at 1024 pixels on a GPU, tiny at 512 on two cores of a CPU.

    CPU: table in section 5 of the specification, measured; a frame is encoded, is a prompt and is followed once each,
    of long clips it is encoded twice, and reads the memories of half of the frames or of the nearest, and three more.
    GPU: an H200 takes 1.7 seconds for 24 frames and 12 for 96, encoded twice; the one that is there may be slower.
    """
    if on_gpu:
        return 10 + 0.2 * n_frames
    read, encoded = (n_frames / 2, 1) if n_frames <= KEPT else (NEAREST["cpu"], 2)
    return 5 + n_frames * (0.64 * encoded + 0.08 + 0.18 + 0.043 * (read + 3))


def refine_masks(
    masks: np.ndarray,
    frames: np.ndarray,
    method: str = "grabcut",
    weights: str | None = None,
    published: bool = False,
    progress: Progress | None = None,
) -> np.ndarray:
    """Masks (T,H,W) bool of frames (T,H,W,3) uint8 RGB with better outlines, the same shape.

    method: "grabcut" lets edges follow colours, frame by frame; "sam2" has SAM 2 say what each frame's mask is, from
    those of its neighbours. weights, of SAM 2: "tiny", "small", "base-plus", "large", a hub id (fetched if they are not
    cached), or a folder with config.json and model.safetensors; None: large on a GPU, else tiny. published: exactly
    Easi3R's step: frames at SAM 2's own size, every mask a prompt, and what SAM 2 says stands even where it loses all
    that moved; None is then large. A clip of one frame stays as it is. progress(fraction, text) may raise to cancel.

    Raises `InputError` for arrays that do not fit, or if SAM 2 (`pip install ".[sam2]"`) or its weights are not there.
    """
    masks, frames = np.asarray(masks), np.asarray(frames)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not frames.size:
        raise InputError(f"frames is an array {frames.shape} of {frames.dtype}; it must be (T,H,W,3) uint8 RGB.")
    if masks.shape != frames.shape[:3] or masks.dtype != bool:
        raise InputError(f"masks is an array {masks.shape} of {masks.dtype}; it must be {frames.shape[:3]} of bool.")
    if method not in METHODS:
        raise InputError(f"method is {shown(method)}; it must be one of {', '.join(METHODS)}.")
    report = progress or (lambda fraction, text: None)
    if method == "sam2":
        return by_sam2(masks, frames, None, weights, published, report).masks
    if weights is not None or published:
        raise InputError("weights and published are for SAM 2; leave them out, or use the method sam2.")
    return grabcut(masks.astype(np.float32), 0.5, frames, lambda done: report(done, "Outlining what moves"))


@dataclass(frozen=True)
class Refined:
    """What SAM 2 made of masks."""

    masks: np.ndarray  # (T,H,W) bool
    warnings: tuple[str, ...] = ()  # sentences for the user
    info: dict = field(default_factory=dict)  # for a report: weights, size, limit, overlap with the masks before


def by_sam2(
    masks: np.ndarray,
    frames: np.ndarray,
    known: np.ndarray | None = None,
    weights: str | None = None,
    published: bool = False,
    progress: Progress | None = None,
) -> Refined:
    """`refine_masks` by SAM 2, with what is to be said of it. known (T,) bool: frames of which the mask says something,
    so that it is a prompt; None: all.

    A frame is answered for by a pass that was not shown its mask: one is shown the odd frames' and says the even ones',
    the other the reverse. Where SAM 2 finds nothing in a frame although its mask has something, the mask stays, and so
    it does where the other frames' masks are empty.
    """
    report = progress or (lambda fraction, text: None)
    known = np.ones(len(frames), bool) if known is None else known
    if len(frames) == 1:
        return Refined(masks, ("SAM 2 needs more than one frame; the mask is as it was.",))
    if not masks[known].any():
        return Refined(np.zeros_like(masks), ("There was no mask for SAM 2 to follow: nothing is marked as moving.",))
    began = time.perf_counter()
    model, info = _model(weights, published, len(frames), lambda done, text: report(_LOADING * done, text))
    refined = _two_passes(model, masks, frames, known, published, report)
    lost = ~refined.any((1, 2)) & masks.any((1, 2))
    if not published:
        refined[lost] = masks[lost]
    overlap = float(jaccard(refined, masks)[known].mean())
    info |= {"overlap": round(overlap, 4), "seconds": round(time.perf_counter() - began, 3)}
    return Refined(refined, tuple(_said(masks, lost, overlap, published)), info)


def _two_passes(model, masks, frames, known, published, report):
    """(T,H,W) bool: what either pass says of the frames that it answers for."""
    from .sam2 import Follower, mask_of  # here, as torch takes seconds

    def told(begin: float, end: float, text: str) -> Callable[[float], None]:
        return lambda done: report(begin + (end - begin) * done, text)

    looking = told(_LOADING, _ENCODING, "Looking at the frames with SAM 2")
    follower = Follower(model, frames, len(frames) <= KEPT, looking)
    numbers, answers = np.arange(len(frames)), {}
    for kept in (0, 1):
        prompted = numbers[known & (numbers % 2 != kept)]
        if len(prompted) and (published or masks[prompted].any()):
            half = (1 - _ENCODING) / 2
            begin = _ENCODING + kept * half
            told_pass = told(begin, begin + half, f"Following what moves with SAM 2, pass {kept + 1} of 2")
            answers[kept] = follower.follow(masks, prompted.tolist(), told_pass)[0]
    refined = masks.copy()
    for t in numbers:
        of = t % 2
        if of not in answers and not known[t]:  # neither pass was shown its mask
            of = 1 - of
        if of in answers:
            refined[t] = mask_of(answers[of][t], masks.shape[1:])
    return refined


def _model(weights: str | None, published: bool, n_frames: int, progress: Progress) -> tuple[Any, dict]:
    """The network where it is fast, and what a report says of it. One for each call: the limit is its state."""
    from ..backbones.weights import has_gpu, sam2

    sam2.library()  # before anything is fetched
    device = "cuda" if has_gpu() else "cpu"
    source = weights or sam2.default(published)
    folder = sam2.find(source, progress)
    progress(1, "Reading SAM 2's weights")
    model = sam2.load(folder, None if published or device == "cuda" else CPU_SIZE).to(device)
    limit = -1 if published or n_frames <= KEPT else NEAREST[device]
    model.config.max_cond_frame_num = limit
    info = {
        "weights": sam2.repository(source),
        "size": model.config.image_size,
        "device": device,
        "prompts_read": "all" if limit < 0 else f"the {limit} nearest",
        "published": published,
    }
    return model, info


def _said(masks, lost, overlap, published):
    """Sentences for the user."""
    if lost.any():
        then = "nothing is marked there" if published else "there they are as they were"
        yield f"SAM 2 lost what moves in {lost.sum()} of {len(masks)} frames; {then}."
    if overlap < AGREES:
        yield (
            f"The masks before and after SAM 2 hardly overlap ({overlap:.0%}); look at both in masks.mp4 and see which "
            "to trust."
        )
    much = int((masks.mean((1, 2)) > MUCH).sum())
    if much:
        yield f"In {much} frames most of the picture moves, which SAM 2 was not made for; its outlines may be wrong."
