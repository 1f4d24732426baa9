"""What the page does with clips and results: computing where it is fast, files per visitor, prepared examples."""

import spaces  # first: on ZeroGPU it must come before anything that touches CUDA

import atexit
import functools
import os
import shutil
import tempfile
import threading
import time
from pathlib import Path

import torch

from . import load_backbone, load_reconstruction, pairs, video
from . import reconstruct as run_pipeline
from .export.archive import ARCHIVE, load_small, write_archive
from .export.glb import write_glb
from .export.surfaces import CUT

API_PREFIX, API_KEEP = "easi3r-api-", 600  # folders of the endpoint, and the seconds they stay at least
_seconds_per_pair = {"preview": 0.18, "cpu": 20.0, "cuda": 0.05}  # rough, replaced by what the last run took


_loading = threading.Lock()
_loaded = functools.cache(load_backbone)


def backbone_for(name):
    """A backbone, loaded once for all visitors."""
    with _loading:
        return _loaded(name)


if os.environ.get("SPACES_ZERO_GPU"):
    backbone_for("auto")  # ZeroGPU wants weights on the GPU before the first visitor comes


def _on_gpu(backbone):
    return getattr(backbone, "device", "cpu").startswith("cuda")


def _speed_class(backbone):
    return "preview" if backbone.name == "preview" else backbone.device.split(":")[0]


def gpu_seconds(clip, name, options, masks=None, progress=None):
    """Seconds of GPU to ask for on ZeroGPU: start and alignment, so much per frame and per pair. 24 frames: 36 s."""
    n_frames = len(clip.frames)
    return int(12 + 0.3 * n_frames + 0.09 * len(pairs.build(n_frames, options.graph)))


@spaces.GPU(duration=gpu_seconds)
def compute_on_gpu(clip, name, options, masks=None, progress=None):
    """The part that wants a GPU. On ZeroGPU it runs in a process of its own, where `progress` cannot follow."""
    return run_pipeline(clip, backbone_for(name), options, progress, masks)


def reconstruct(path, name, options, masks, progress):
    """Decode here, compute where it is fast."""
    backbone = backbone_for(name)
    clip = video.read(path, options.max_frames, backbone.max_side, backbone.patch)
    if masks is not None:
        masks = video.read_masks(masks, clip)
    began = time.perf_counter()
    if _on_gpu(backbone):
        result = compute_on_gpu(clip, name, options, masks, None if os.environ.get("SPACES_ZERO_GPU") else progress)
    else:
        result = run_pipeline(clip, backbone, options, progress, masks)
    _seconds_per_pair[_speed_class(backbone)] = (time.perf_counter() - began) / max(1, result.info["pairs"])
    return result, backbone.note


def expected_seconds(name, n_pairs):
    """About how long a run with a backbone of this name will take."""
    speed = _speed_class(backbone_for(name)) if name in ("auto", "preview") else "cuda" if torch.cuda.is_available() else "cpu"
    return 5 + _seconds_per_pair.get(speed, _seconds_per_pair["cpu"]) * n_pairs


# ---- what visitors have: a folder each, for as long as their page is open


folders, _folders_lock = {}, threading.Lock()
files_of = {}  # visitor -> name -> path of what `save` wrote
stored = functools.lru_cache(maxsize=4)(load_reconstruction)  # of folders, which are never written twice
prepared = {}  # example -> what `_show_scene` and `_show_files` take, and the folder


def keep(visitor, folder):
    """Make `folder` (or None) the visitor's; what they had before is deleted."""
    with _folders_lock:
        old = folders.pop(visitor, None)
        files_of.pop(visitor, None)
        if folder is not None:
            folders[visitor] = folder
    if old is not None:
        shutil.rmtree(old, ignore_errors=True)


@atexit.register
def _forget_all():
    for visitor in list(folders):
        keep(visitor, None)


def prepare_examples(examples):
    """Write the files of all examples, once per server, so that a click has nothing to wait for."""
    for path in examples:
        folder = Path(tempfile.mkdtemp(prefix="easi3r-"))
        keep(path, folder)  # deleted at exit
        result, note = load_example(path)
        scene = write_scene(result, folder, CUT, "surfaces", note)
        prepared[path] = scene, write_files(result, folder), folder


def load_example(path):
    """(result, note) of an example's clip NAME.mp4 from the NAME.result.npz beside it, see examples/make.py."""
    return load_small(path.with_suffix(".result.npz"), path), "Computed beforehand; press Reconstruct to compute it here."


def write_scene(result, folder, cut, style, note):
    """The 3D view, quickly. Returns (info, number of frames, `GlbInfo`, note), what the page shows first."""
    view = write_glb(result, folder / "view.glb", cut=cut, colours="babylon", points=style == "points")
    return result.info, len(result.frames), view, note


def write_files(result, folder):
    """Everything else: what other views are made from, and the downloads, see `write_downloads`."""
    write_archive(result, folder / "unfinished")
    os.replace(folder / "unfinished", folder / ARCHIVE)  # a view may be reading it this very moment
    return write_downloads(result, folder)


def write_downloads(result, folder):
    """What a user takes home. Returns (dict name -> path as of `save`, path of the zip)."""
    files = result.save(folder / "results")
    return files, shutil.make_archive(str(folder / "easi3r-results"), "zip", folder / "results")


def sweep():
    """Delete what earlier calls of the endpoint left: gradio hands over a copy, but only after the function has returned."""
    for folder in Path(tempfile.gettempdir()).glob(API_PREFIX + "*"):
        if time.time() - folder.stat().st_mtime > API_KEEP:
            shutil.rmtree(folder, ignore_errors=True)
