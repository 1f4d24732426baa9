"""Clips of one's own as a data set.

NAME.mp4 with NAME_masks.npz: `shape` (T,H,W) and `gt`, packbits of a bool array along its last axis, and other systems'
masks in the same form; and/or with NAME.txt, poses in TUM's format by seconds in the clip. Or NAME/ with pictures in
rgb/ and what there is of masks/*.png, groundtruth.txt (TUM's format) and depth/*.npy; as many as pictures, in order.
"""

from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from .. import video
from ..decode import scan
from ..errors import InputError
from ..paths import quoted
from ..sources import natural
from ..stills import SUFFIXES
from .formats import associate, read_trajectory, reading
from .sequence import Sequence, read_array, read_mask, read_picture

CLIPS = (".mp4", ".mov", ".webm", ".mkv", ".avi")
MAX_FRAMES, MAX_SIDE, PATCH = 24, 512, 16  # of a clip, as a visitor's is taken


def find_clips(folder: Path) -> dict[str, Path]:
    """Clips and folders of pictures by name, of which something is known."""
    clips = [path for path in folder.iterdir() if path.suffix.lower() in CLIPS]
    known = [path for path in clips if _masks(path).exists() or path.with_suffix(".txt").exists()]
    return {path.stem: path for path in known} | {path.name: path for path in folder.iterdir() if _has_truth(path)}


def load_clip(path: Path) -> Sequence:
    """Of a clip the frames that a run on it takes, of a folder all pictures."""
    return _pictures(path) if path.is_dir() else _clip(path)


def stored_masks(clip: Path, truth: Path, timestamps: np.ndarray) -> dict[str, np.ndarray]:
    """Masks (T,H,W) bool in an npz at the frames of `clip` that are nearest to timestamps (T,), by name; `gt`: true."""
    with reading(truth), np.load(truth, allow_pickle=False) as stored:
        shape = tuple(stored["shape"])
        times = np.array(scan(clip).seconds)[: shape[0]]
        used = [int(np.abs(times - t).argmin()) for t in timestamps]
        return {
            name: np.unpackbits(stored[name][used], axis=-1)[..., : shape[2]].astype(bool)
            for name in stored.files
            if name != "shape"
        }


def _masks(clip):
    return clip.with_name(f"{clip.stem}_masks.npz")


def _has_truth(path):
    return (path / "rgb").is_dir() and any((path / name).exists() for name in ("masks", "groundtruth.txt", "depth"))


def _clip(path):
    clip, masks, labels, poses = video.read(path, MAX_FRAMES, MAX_SIDE, PATCH), {}, None, None
    if _masks(path).exists():
        masks = stored_masks(path, _masks(path), clip.timestamps)
        if "gt" not in masks:
            raise InputError(f"{quoted(_masks(path).name)} holds no true masks (gt); add them.")
        labels = tuple(partial(np.asarray, mask) for mask in masks.pop("gt"))
    if path.with_suffix(".txt").exists():
        stamps, known = read_trajectory(path.with_suffix(".txt"))
        poses = np.full((len(clip.frames), 4, 4), np.nan)
        for i, j in associate(clip.timestamps, stamps):
            poses[i] = known[j]
    pictures = tuple(partial(Image.fromarray, frame) for frame in clip.frames)
    return Sequence(pictures, labels, poses, clip=clip, others=masks)


def _pictures(folder):
    pictures = _in_order(folder / "rgb", SUFFIXES)
    found = {"masks": _in_order(folder / "masks", (".png",)), "depth": _in_order(folder / "depth", (".npy",))}
    poses = read_trajectory(folder / "groundtruth.txt")[1] if (folder / "groundtruth.txt").exists() else None
    counts = {name: len(files) for name, files in found.items() if files} | (
        {} if poses is None else {"poses": len(poses)}
    )
    if not counts or any(count != len(pictures) for count in counts.values()):
        said = ", ".join(f"{count} {name}" for name, count in counts.items()) or "nothing that is known of them"
        raise InputError(f"{quoted(folder.name)} has {len(pictures)} pictures and {said}; there must be one for each.")
    labels, depth = (
        tuple(partial(read, path) for path in found[name]) or None
        for name, read in (("masks", read_mask), ("depth", read_array))
    )
    return Sequence(tuple(partial(read_picture, path) for path in pictures), labels, poses, depth)


def _in_order(folder, suffixes):
    there = folder.iterdir() if folder.is_dir() else ()
    return sorted((path for path in there if path.suffix.lower() in suffixes), key=natural)
