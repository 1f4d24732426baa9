"""Where a page's runs are computed: backbones loaded once for all visitors, and what ZeroGPU lends a GPU for.

ZeroGPU (Hugging Face) runs a decorated function in a process forked for it. Hence the rules kept here: weights go to
the GPU at import, as it stands in for CUDA in the main thread only; what goes in and out is pickled; and as a fork has
none of the threads that libraries keep, nothing there may wait for one.
"""

import spaces  # first: on ZeroGPU it must come before anything that touches CUDA

# isort: split

import gc
import logging
import os
import threading
import time
from contextlib import nullcontext

import cv2
import torch
from threadpoolctl import threadpool_limits

from . import InputError, load_backbone, pairs, video
from . import reconstruct as run_pipeline
from .backbones.load import HUB
from .own_masks import read_masks

NAMES = ("auto", "preview", *HUB)  # what visitors and programs may name; a path would read files of the server
ON_ZERO_GPU = bool(os.environ.get("SPACES_ZERO_GPU"))
_seconds_per_pair = {"preview": 0.18, "cpu": 20.0, "cuda": 0.05}  # rough, replaced by what the last run took
START = 5  # seconds that a run takes however few its pairs, roughly
_loaded: dict = {}
_loading = threading.Lock()
_log = logging.getLogger(__name__)


def backbone_for(name):
    """A backbone, loaded once for all visitors. Raises `InputError` if it cannot be had."""
    if name not in _loaded:
        if ON_ZERO_GPU and name != "preview":
            raise InputError(f"The weights of {name} could not be fetched when this Space started; use the preview.")
        with _loading:
            if name not in _loaded:
                _loaded[name] = load_backbone(name)
    return _loaded[name]


def _prepare_zero_gpu():
    cv2.setNumThreads(1)  # once OpenCV has had threads, a fork cannot do without them
    for name in HUB:
        try:
            _loaded[name] = load_backbone(name)
        except InputError as error:
            _log.warning("%s: %s", name, error)
    _loaded["auto"] = _loaded.get("dust3r") or backbone_for("preview")


if ON_ZERO_GPU:
    _prepare_zero_gpu()


def is_loaded(name):
    """Whether a run with this backbone starts at once, without fetching or reading weights."""
    return name in _loaded


def _on_gpu(backbone):
    return backbone.device.startswith("cuda")


def _speed_class(backbone):
    return "preview" if backbone.name == "preview" else backbone.device.split(":")[0]


def gpu_seconds(clip, name, options, masks=None, progress=None):
    """Seconds of GPU to ask for on ZeroGPU: start and alignment, so much per frame and per pair. 24 frames: 36 s."""
    n_frames = len(clip.frames)
    return int(12 + 0.3 * n_frames + 0.09 * len(pairs.build(n_frames, options.graph)))


@spaces.GPU(duration=gpu_seconds)
def compute_on_gpu(clip, name, options, masks=None, progress=None):
    """The part that wants a GPU: a `Reconstruction`, or the `InputError` that ended it (ZeroGPU hands on no
    exceptions).
    """
    try:
        with threadpool_limits(1) if ON_ZERO_GPU else nullcontext():
            return run_pipeline(clip, backbone_for(name), options, progress, masks)
    except InputError as error:
        return error


def reconstruct(path, name, options, masks, progress):
    """Decode here, compute where it is fast. Returns (`Reconstruction`, the backbone's note)."""
    backbone = backbone_for(name)
    clip = video.read(path, options.max_frames, backbone.max_side, backbone.patch, options.shot)
    if masks is not None:
        masks = read_masks(masks, clip)
    began = time.perf_counter()
    if not _on_gpu(backbone):
        result = run_pipeline(clip, backbone, options, progress, masks)
    elif ON_ZERO_GPU:
        result = _in_a_fork(clip, name, options, masks, progress)
    else:
        result = compute_on_gpu(clip, name, options, masks, progress)
    if isinstance(result, InputError):
        raise result
    if n_pairs := result.info["pairs"]:
        _seconds_per_pair[_speed_class(backbone)] = max(0, time.perf_counter() - began - START) / n_pairs
    return result, backbone.note


def _in_a_fork(clip, name, options, masks, progress):
    """`compute_on_gpu` on ZeroGPU. Video decoders hold threads: a fork that frees one waits for these for ever."""
    progress(0.1, f"Computing on a GPU (at most {gpu_seconds(clip, name, options)} seconds once there is a free one)")
    gc.collect()
    gc.freeze()
    try:
        return compute_on_gpu(clip, name, options, masks)
    finally:
        gc.unfreeze()


def expected_seconds(name, n_pairs):
    """About how long a run with a backbone of this name will take."""
    speed = _speed_class(backbone_for(name)) if is_loaded(name) else "cuda" if torch.cuda.is_available() else "cpu"
    return START + _seconds_per_pair.get(speed, _seconds_per_pair["cpu"]) * n_pairs
