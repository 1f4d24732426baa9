"""Motion masks against ground truth: python -m easi3r.benchmark masks FOLDER

FOLDER holds NAME.mp4 and NAME_masks.npz pairs; the npz holds `shape` (T,H,W) and `gt`, packbits of a bool array along
its last axis, and may hold other systems' masks in the same form, which are scored on the same frames.
"""

import argparse
from pathlib import Path

import numpy as np

from .. import InputError, Options, load_system, reconstruct
from ..decode import scan
from ..metrics import jaccard
from ..scoring import place_in_source
from ..system import System


def unpack(packed: np.ndarray, shape: tuple[int, int, int]) -> np.ndarray:
    """(T,H,W) bool of packbits along the last axis."""
    return np.unpackbits(packed, axis=-1)[..., : shape[2]].astype(bool)


def score_clip(clip: Path, truth: Path, system: System, max_frames: int = 24) -> dict[str, float]:
    """Mean J of our masks and of every system in `truth` (path of an npz) at the frames that a run uses. Dict name ->
    J.
    """
    result = reconstruct(str(clip), system, Options(max_frames=max_frames))
    stored = stored_masks(clip, truth, result.timestamps)
    true = stored.pop("gt")
    scored = {"ours": place_in_source(result.dynamic, result.framing), **stored}
    return {name: jaccard(masks, true).mean() for name, masks in scored.items()}


def stored_masks(clip: Path, truth: Path, timestamps: np.ndarray) -> dict[str, np.ndarray]:
    """Masks (T,H,W) bool in an npz at the frames of `clip` that are nearest to timestamps (T,), by name; `gt`: true."""
    stored = np.load(truth)
    shape = tuple(stored["shape"])
    times = np.array(scan(clip).seconds)[: shape[0]]
    used = [int(np.abs(times - t).argmin()) for t in timestamps]
    return {name: unpack(stored[name], shape)[used] for name in stored.files if name != "shape"}


def main(argv: list[str]) -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark masks", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--system", default="preview")
    parser.add_argument("--max-frames", type=int, default=24)
    arguments = parser.parse_args(argv)
    try:
        system = load_system(arguments.system)
        rows = {}
        for truth in sorted(arguments.folder.glob("*_masks.npz")):
            name = truth.name.removesuffix("_masks.npz")
            rows[name] = score_clip(truth.with_name(f"{name}.mp4"), truth, system, arguments.max_frames)
        if not rows:
            raise InputError(f"{arguments.folder} holds no NAME_masks.npz; give a folder of clips with their masks.")
    except InputError as error:
        print(f"error: {error}")
        return 2
    systems = list(next(iter(rows.values())))
    print(f"mean J, {arguments.max_frames} frames per clip, system {system.name}")
    print("| clip |", " | ".join(systems), "|")
    print("|---|" + "---|" * len(systems))
    for name, scores in rows.items():
        print(f"| {name} |", " | ".join(f"{scores[s]:.3f}" for s in systems), "|")
    print("| mean |", " | ".join(f"{np.mean([r[s] for r in rows.values()]):.3f}" for s in systems), "|")
    return 0
