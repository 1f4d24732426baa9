"""Masks with better outlines, by colours alone or by SAM 2; any system's, or masks that somebody drew."""

import threading
import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, wait
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from ..backbones.base import Progress
from ..errors import InputError, shown
from ..memory import ran_out, release
from ..metrics import jaccard
from ..threads import workers
from .grabcut import grabcut

METHODS = ("grabcut", "sam2")
KEPT = 60  # frames of a clip whose features are kept (16 MB each at 1024 pixels); of longer ones all are encoded twice
# So many of the nearest prompted frames are read for each frame, by device, on a GPU of clips over KEPT: with all, time
# would grow with the square of the frames. A judgement of the specification; the quality was not measured.
NEAREST = {"cuda": 16, "cpu": 8}
FEWEST = 2  # of them where memory is scarce; one would not limit anything
SCARCE = "There was little memory: SAM 2 looked at frames twice and read {} of the frames' masks for each."
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
    read, encoded = min(n_frames / 2, NEAREST["cpu"]), 1 if n_frames <= KEPT else 2
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
    refined, warnings = _within_memory(model, info["device"], masks, frames, known, published, report)
    lost = ~refined.any((1, 2)) & masks.any((1, 2))
    if not published:
        refined[lost] = masks[lost]
    overlap = float(jaccard(refined, masks)[known].mean())
    info |= {"prompts_read": _read(model), "overlap": round(overlap, 4)}
    info["seconds"] = round(time.perf_counter() - began, 3)
    return Refined(refined, (*warnings, *_said(masks, lost, overlap, published)), info)


def _within_memory(model, device, masks, frames, known, published, report):
    """`_two_passes` on the device, again with less to keep where memory is scarce; and what to say of that."""
    keep = len(frames) <= KEPT
    ways = [(keep, model.config.max_cond_frame_num), (False, model.config.max_cond_frame_num), (False, FEWEST)]
    for n, (kept, limit) in enumerate(ways):
        model.config.max_cond_frame_num = limit
        try:
            refined = _two_passes(model.to(device), masks, frames, known, published, kept, report)
        except Exception as error:
            if not ran_out(error):
                raise
        else:
            return refined, [SCARCE.format(_read(model))] if n else []
        release()  # here, as until now the exception held what was computed
    raise InputError(
        f"There is not enough memory for SAM 2 at {model.config.image_size} pixels; leave it out, or name smaller "
        "weights, such as tiny."
    )


def _read(model):
    """How many prompted frames are read for each, in words."""
    limit = model.config.max_cond_frame_num
    return "all" if limit < 0 else f"the {limit} nearest"


def _two_passes(model, masks, frames, known, published, keep, report):
    """(T,H,W) bool: what either pass says of the frames that it answers for. keep: as of `Follower`."""
    from .sam2 import Follower, mask_of  # here, as torch takes seconds

    follower = Follower(
        model,
        frames,
        keep,
        lambda done: report(_LOADING + (_ENCODING - _LOADING) * done, "Looking at the frames with SAM 2"),
    )
    numbers = np.arange(len(frames))
    prompts = {kept: numbers[known & (numbers % 2 != kept)] for kept in (0, 1)}
    prompts = {kept: shown for kept, shown in prompts.items() if len(shown) and (published or masks[shown].any())}
    answers = _followed(
        follower,
        masks,
        prompts,
        lambda done: report(_ENCODING + (1 - _ENCODING) * done, "Following what moves with SAM 2"),
    )
    refined = masks.copy()
    for t in numbers:
        of = t % 2
        if of not in answers and not known[t]:  # neither pass was shown its mask
            of = 1 - of
        if of in answers:
            refined[t] = mask_of(answers[of][t], masks.shape[1:])
    return refined


def _followed(follower, masks, prompts, report):
    """Logits (T,s,s) of the passes `prompts`, all at once, each in a thread of its own; report(fraction) from this one.

    Two passes with a core each take two thirds of the time of one after the other with two cores each.
    """
    done, ended = dict.fromkeys(prompts, 0.0), threading.Event()

    def followed(kept):
        def told(fraction):
            done[kept] = fraction
            if ended.is_set():
                raise CancelledError

        return follower.follow(masks, prompts[kept].tolist(), told)[0]

    with workers() as pool:
        running = {kept: pool.submit(followed, kept) for kept in prompts}
        try:
            while not_done := [future for future in running.values() if not future.done()]:
                report(sum(done.values()) / len(done))
                for future in wait(not_done, 0.2, FIRST_COMPLETED).done:
                    future.result()  # raises what it raised
            report(1)
            return {kept: future.result() for kept, future in running.items()}
        finally:
            ended.set()  # cancelled, or one of them failed: the others need not go on


def _model(weights: str | None, published: bool, n_frames: int, progress: Progress) -> tuple[Any, dict]:
    """The network where it is fast, and what a report says of it. One for each call: the limit is its state."""
    from ..backbones.weights import has_gpu, sam2

    sam2.library()  # before anything is fetched
    device = "cuda" if has_gpu() else "cpu"
    source = weights or sam2.default(published)
    folder = sam2.find(source, progress)
    progress(1, "Reading SAM 2's weights")
    model = sam2.load(folder, None if published or device == "cuda" else CPU_SIZE)
    all_read = published or (device == "cuda" and n_frames <= KEPT)
    model.config.max_cond_frame_num = -1 if all_read else NEAREST[device]
    info = {
        "weights": sam2.repository(source),
        "size": model.config.image_size,
        "device": device,
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
