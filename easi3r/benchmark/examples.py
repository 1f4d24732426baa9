"""Reconstructions of rendered clips against their truth: python -m easi3r.benchmark examples [FOLDER]

FOLDER (default: the project's examples) holds NAME.mp4 with NAME.npz, see `easi3r.synthetic.load_truth`.
"""

import argparse
from pathlib import Path

import numpy as np

from .. import InputError, Options, load_system, reconstruct
from ..metrics import depth_absrel, jaccard, trajectory_errors
from ..reconstruction import Reconstruction
from ..synthetic import Truth, load_truth
from .masks import place_in_source


def score(result: Reconstruction, truth: Truth) -> dict[str, float]:
    """Dict of figures of a `Reconstruction` against the `Truth` of its clip, at the frames that the run used.

    `ate` as a share of the path length (NaN if the camera only turns), `rotation` mean error between frames in degrees,
    `focal` relative error, `absrel` of the depth (one median scale, static pixels, confidence above its median; NaN if
    there are none), `J` of the masks.
    """
    used = np.array([np.abs(truth.timestamps - t).argmin() for t in result.timestamps])
    path = trajectory_errors(result.cam2world, truth.cam2world[used])
    true_focal, focal = truth.intrinsics[0, 0], result.source_intrinsics[0, 0, 0]
    rows, columns = (np.arange(n) * truth.step for n in truth.depth.shape[1:])
    v = np.round(result.framing.from_source(np.stack([0 * rows, rows], 1))[:, 1]).astype(int)  # the truth's samples
    u = np.round(result.framing.from_source(np.stack([columns, 0 * columns], 1))[:, 0]).astype(int)
    height, width = result.depth.shape[1:]
    inside = ((v >= 0) & (v < height))[:, None] & ((u >= 0) & (u < width))[None]
    at = np.ix_(np.arange(len(used)), v.clip(0, height - 1), u.clip(0, width - 1))
    still = ~truth.dynamic[np.ix_(used, rows, columns)] & inside
    sure = still & (result.confidence[at] > np.median(result.confidence))
    return {
        "ate": path["ate"] / path["path"] if path["path"] > 1e-9 else np.nan,
        "rotation": path["rre_mean"],
        "focal": abs(focal / true_focal - 1),
        "absrel": depth_absrel(result.depth[at], truth.depth[used], sure) if sure.any() else np.nan,
        "J": jaccard(place_in_source(result.dynamic, result.framing), truth.dynamic[used]).mean(),
        "seconds": sum(result.info["seconds"].values()),
    }


def main(argv: list[str]) -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark examples", description=__doc__)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parents[2] / "examples")
    parser.add_argument("--system", default="preview")
    parser.add_argument("--max-frames", type=int, default=24)
    arguments = parser.parse_args(argv)
    try:
        system = load_system(arguments.system)
        clips = [path for path in sorted(arguments.folder.glob("*.mp4")) if path.with_suffix(".npz").exists()]
        if not clips:
            raise InputError(f"{arguments.folder} holds no clip NAME.mp4 with its truth NAME.npz.")
        print("| clip | ATE / path | rotation error | focal error | depth AbsRel | mask J | seconds |")
        print("|---|---|---|---|---|---|---|")
        for clip in clips:
            result = reconstruct(clip, system, Options(max_frames=arguments.max_frames))
            s = score(result, load_truth(clip.with_suffix(".npz")))
            print(
                f"| {clip.stem} | {s['ate']:.2%} | {s['rotation']:.3f} deg | {s['focal']:.1%} "
                f"| {s['absrel']:.3f} | {s['J']:.3f} | {s['seconds']:.0f} |"
            )
    except InputError as error:
        print(f"error: {error}")
        return 2
    return 0
