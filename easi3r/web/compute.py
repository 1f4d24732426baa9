"""Where a page's runs are computed, and what ZeroGPU lends a GPU for.

ZeroGPU (Hugging Face) runs a decorated function in a process forked for it. Hence the rules kept here: weights go to
the GPU at import, as it stands in for CUDA in the main thread only; what goes in and out is pickled; and as a fork has
none of the threads that libraries keep, nothing there may wait for one.
"""

import spaces  # first: on ZeroGPU it must come before anything that touches CUDA

# isort: split

import gc
import os
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from typing import Any

import cv2
from threadpoolctl import threadpool_limits

from .. import comparison, video
from ..backbones.base import Progress
from ..backbones.weights import has_gpu, sam2
from ..errors import InputError
from ..options import Options
from ..own_masks import OwnMasks, read_masks
from ..pipeline import stages as stages_of
from ..reconstruction import Masked, Reconstruction
from ..system import System, registry
from ..video import Video
from .pool import POOL

ON_ZERO_GPU = bool(os.environ.get("SPACES_ZERO_GPU"))
AWAY = 0.1  # of the progress bar, while a GPU is lent: from there nothing is told of progress

if ON_ZERO_GPU:
    cv2.setNumThreads(1)  # once OpenCV has had threads, a fork cannot do without them
    POOL.load_all()


def gpu_seconds(clip: Video, name: str, options: Options, *_: Any) -> int:
    """Seconds of GPU to ask for on ZeroGPU. 24 frames: 36 s."""
    return int(POOL.plan(name, len(clip.frames), options)[1].gpu_seconds)


@spaces.GPU(duration=gpu_seconds)
def compute_on_gpu(
    clip: Video, name: str, options: Options, masks: OwnMasks | None = None
) -> Iterator[Masked | Reconstruction | InputError]:
    """The part that wants a GPU; an `InputError` that ends it is given, as ZeroGPU hands on no exceptions."""
    try:
        with threadpool_limits(1) if ON_ZERO_GPU else nullcontext():
            yield from stages_of(clip, POOL.system(name), options, masks)
    except InputError as error:
        yield error


def reconstruct(
    source: Any, name: str, options: Options, masks: Any, progress: Progress
) -> Iterator[tuple[Masked | Reconstruction, str]]:
    """Decode here, compute where it is fast. Yields what is known so far, see `pipeline.stages`, with a note on the
    system for the visitor; the last one is the result. name: "auto" or one of the registry.
    """
    system = POOL.system(name, progress)
    if options.sam2:
        sam2.check(progress)  # fetched here, and not in the time of a GPU
    clip = video.read(source, options.max_frames, system.max_side, system.patch, options.shot)
    if masks is not None:
        masks = read_masks(masks, clip)
    for found in _stages(clip, system, options, masks, progress):
        yield found, system.note


def _stages(clip, system, options, masks, progress):
    """What a system of the pool makes of a clip, where that is fast."""
    away = ON_ZERO_GPU and (system.device.startswith("cuda") or (options.sam2 and has_gpu()))
    if away:
        steps = _in_a_fork(clip, system.card.name, options, masks, progress)
    else:
        steps = stages_of(clip, system, options, masks, progress)
    for found in steps:
        if isinstance(found, InputError):
            raise found
        if isinstance(found, Reconstruction) and not found.coarse:
            POOL.note_run(system, found)
        if away:
            progress(AWAY, "Computing on a GPU")  # and may end it
        yield found


def run(clip: Video, system: System, options: Options, masks: OwnMasks | None, progress: Progress) -> Reconstruction:
    """What a system of the pool makes of a clip in the end, where that is fast."""
    return deque(_stages(clip, system, options, masks, progress), maxlen=1).pop()


def compare(
    source: Any, names: Sequence[str], options: Options, masks: Any, progress: Progress
) -> comparison.Comparison:
    """See `comparison.compare`; every system is one of the pool and asks for a GPU of its own."""
    entries = comparison.choose(names, None, masks is not None)
    if options.sam2:
        sam2.check(progress)
    load = lambda entry, report: POOL.system(entry.base, report)
    return comparison.run_all(source, entries, options, masks, None, progress, load, run)


def names() -> tuple[str, ...]:
    """What visitors and programs may name; a path would read files of the server."""
    return ("auto", *(card.name for card in registry.systems()))


def _in_a_fork(clip, name, options, masks, progress):
    """`compute_on_gpu` on ZeroGPU. Video decoders hold threads: a fork that frees one waits for these for ever."""
    progress(AWAY, f"Computing on a GPU (at most {gpu_seconds(clip, name, options)} seconds once there is a free one)")
    gc.collect()
    gc.freeze()
    try:
        yield from compute_on_gpu(clip, name, options, masks)
    finally:
        gc.unfreeze()
