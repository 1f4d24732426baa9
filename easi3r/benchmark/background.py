"""Clips without what moves in them, against renders without it: python -m easi3r.benchmark background [FOLDER]

FOLDER as of `python -m easi3r.benchmark examples`; of its clips those of `easi3r.synthetic.SCENES`. Each is taken
twice: as it is, compressed, and as it was rendered.
"""

import numpy as np
from skimage.metrics import peak_signal_noise_ratio

from .. import Options, load_system, reconstruct
from ..export import clean_plate
from ..reconstruction import Reconstruction
from ..synthetic import SCENES, load_truth, render
from .examples import parse


def score(result: Reconstruction, empty: np.ndarray) -> dict[str, float]:
    """Dict of figures of a `Reconstruction` that has the size of its source, of which `empty` (N,H,W,3) uint8 RGB are
    all frames without movers.

    `filled` PSNR in dB of the filled pixels of the masks; `rest` that of what stands still and shows itself, which is
    what compression took; `open` share of the masks that is left open.
    """
    pictures, known = clean_plate(result)
    truth, filled = empty[result.info["frame_numbers"]], result.dynamic & known
    itself = ~result.dynamic & (pictures == result.frames).all(axis=-1)
    with np.errstate(divide="ignore"):  # no difference at all
        found = {
            name: float(peak_signal_noise_ratio(truth[part], pictures[part], data_range=255))
            for name, part in (("filled", filled), ("rest", itself))
        }
    return {**found, "open": 1 - filled.sum() / result.dynamic.sum()}


def main(argv: list[str]) -> int:
    """Print the table. Returns the exit code."""
    arguments = parse("background", __doc__, argv)
    system, options = load_system(arguments.system), Options(max_frames=arguments.max_frames)
    print("| clip | filled, PSNR | the rest, by compression | left open | not compressed: filled, PSNR | left open |")
    print("|---|---|---|---|---|---|")
    for clip in sorted(path for path in arguments.folder.glob("*.mp4") if path.stem in SCENES):
        height, width = reconstruct(clip, system, Options(max_frames=1)).frames.shape[1:3]
        n_frames = len(load_truth(clip.with_suffix(".npz")).timestamps)
        rendered, empty = (render(clip.stem, n_frames, width, height, movers=movers).frames for movers in (True, False))
        s, plain = (score(reconstruct(source, system, options), empty) for source in (clip, rendered))
        print(
            f"| {clip.stem} | {s['filled']:.1f} dB | {s['rest']:.1f} dB | {s['open']:.0%} "
            f"| {plain['filled']:.1f} dB | {plain['open']:.0%} |"
        )
    return 0
