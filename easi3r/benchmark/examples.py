"""Reconstructions of rendered clips against their truth: python -m easi3r.benchmark examples [FOLDER]

FOLDER (default: the project's examples) holds NAME.mp4 with NAME.npz, see `easi3r.synthetic.load_truth`.
"""

import argparse
from pathlib import Path

from .. import InputError, Options, load_system, reconstruct, scoring
from ..reconstruction import Reconstruction
from ..synthetic import Truth, load_truth


def score(result: Reconstruction, truth: Truth) -> dict[str, float]:
    """Dict of figures of a `Reconstruction` against the `Truth` of its clip, at the frames that the run used.

    `ate` as a share of the path length (NaN if the camera only turns), `rotation` mean error between frames in degrees,
    `focal` relative error, `absrel` of the depth (one median scale, static pixels, confidence above its median; NaN if
    there are none), `J` of the masks.
    """
    found = scoring.score(result, truth)
    return {
        "ate": found["ate"],
        "rotation": found["rre_mean"],
        "focal": found["focal"],
        "absrel": found["absrel_static"],
        "J": found["J"],
        "seconds": sum(result.info["seconds"].values()),
    }


def parse(name: str, about: str | None, argv: list[str]) -> argparse.Namespace:
    """The arguments folder, system and max_frames of a benchmark over a folder of clips."""
    parser = argparse.ArgumentParser(prog=f"python -m easi3r.benchmark {name}", description=about)
    parser.add_argument("folder", type=Path, nargs="?", default=Path(__file__).parents[2] / "examples")
    parser.add_argument("--system", default="preview")
    parser.add_argument("--max-frames", type=int, default=24)
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Print the table. Returns the exit code."""
    arguments = parse("examples", __doc__, argv)
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
