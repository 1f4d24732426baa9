"""How far cameras and depth explain what is seen: python -m easi3r.benchmark geometry FOLDER

FOLDER holds clips NAME.mp4. Flow measured between frames is compared with the flow of a rigid scene with the depth,
cameras and focal that were found: share of pixels within 2 px or 10 %, from every second frame. Where NAME_masks.npz is
there (see `evaluation/folders.py`), pixels near what moves in truth are left out, else near what was found to move.
"""

import argparse
from pathlib import Path

import numpy as np

from .. import InputError, Options, load_system, reconstruct
from ..agreement import Check, check
from ..evaluation.folders import stored_masks
from ..reconstruction import Reconstruction

GAPS = (1, 4)  # frames


def score(result: Reconstruction, clip: Path) -> Check:
    """The check of a `Reconstruction`, against the true masks of its clip where there are such."""
    truth, moving = clip.with_name(f"{clip.stem}_masks.npz"), result.dynamic
    if truth.exists():
        true = stored_masks(clip, truth, result.timestamps)["gt"]
        moving = np.stack([result.framing.cut(mask.astype(np.uint8)) > 0 for mask in true])
    shown = np.any(result.confidence > 0, axis=(1, 2))
    moving = moving | ~shown[:, None, None]  # of frames left out nothing is asked
    return check(result.frames, result.depth, result.cam2world, result.intrinsics, moving, GAPS, every=2)


def main(argv: list[str]) -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark geometry", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--system", default="preview")
    parser.add_argument("--max-frames", type=int, default=24)
    arguments = parser.parse_args(argv)
    try:
        system = load_system(arguments.system)
        clips = sorted(arguments.folder.glob("*.mp4"))
        if not clips:
            raise InputError(f"{arguments.folder} holds no clip NAME.mp4; give a folder of clips.")
        print(
            "| clip |", " | ".join(f"agreement, gap {gap}" for gap in GAPS), "| depth jumps | behind | first warning |"
        )
        print("|---|" + "---|" * (len(GAPS) + 3))
        for clip in clips:
            result = reconstruct(clip, system, Options(max_frames=arguments.max_frames))
            found, said = score(result, clip), [*result.info["warnings"], "-"][0]
            shares = [f"{found.agreement[gap]:.3f}" for gap in GAPS] + [f"{found.jumps:.2f}", f"{found.behind:.3f}"]
            print(f"| {clip.stem} |", " | ".join(shares), f"| {said} |", flush=True)
    except InputError as error:
        print(f"error: {error}")
        return 2
    return 0
