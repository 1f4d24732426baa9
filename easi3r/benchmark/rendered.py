"""Reconstructions of clips rendered for it: python -m easi3r.benchmark rendered [NAME ...]

Two tables: the clips against their truth; and the same scenes without what moves in them, where nothing may be marked.
"""

import argparse
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from .. import InputError, Options, load_system, reconstruct, synthetic
from ..metrics import jaccard
from ..reconstruction import Reconstruction
from ..scoring import place_in_source
from ..synthetic import Clip, Truth
from .examples import score

SIZES = (224, 512)  # pixels, long side of the static clips
GRID = 8  # pixels between the directions at which the seam is measured
NAMES = (*synthetic.SCENES, *synthetic.TRIALS)


def render(name: str, n_frames: int, width: int, **named: Any) -> Clip:
    """A `Clip` of about 12:7; its times are those that frames in memory have: 0, 1, 2, ... named: see
    `synthetic.render`.
    """
    clip = synthetic.render(name, n_frames, width, 2 * round(width * 7 / 24), **named)
    return replace(clip, timestamps=np.arange(n_frames, dtype=np.float64))


def turn_errors(cam2world: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """(T,) degrees by which each camera is turned wrongly against the first one; both (T,4,4) cam2world."""
    first, true_first = cam2world[0, :3, :3], truth[0, :3, :3]
    turned, true = first.T @ cam2world[:, :3, :3], true_first.T @ truth[:, :3, :3]
    wrong = np.swapaxes(true, 1, 2) @ turned
    return np.degrees([np.linalg.norm(cv2.Rodrigues(rotation)[0]) for rotation in wrong])


def seam(cam2world: np.ndarray, intrinsics: np.ndarray, truth: Truth) -> float:
    """How far apart, in pixels, a panorama shows what two frames of a turning camera both see: 95 % quantile.

    A static pixel x of frame i lies in frame j at h(K_j R_j^T R_i K_i^-1 x), with h(x, y, z) = (x / z, y / z). The
    distance is that of the place by the estimated rotations and focal lengths, cam2world (T,4,4) and intrinsics (T,3,3)
    in pixels of the truth, from the place by the true ones; over all pairs i < j up to the whole clip, every `GRID`-th
    pixel of every `GRID`-th row, where both frames show it and neither something that moves. NaN if there is none.
    """
    height, width = truth.dynamic.shape[1:]
    rows, columns = (np.arange(GRID // 2, side, GRID) for side in (height, width))
    still = ~truth.dynamic[:, rows[:, None], columns]
    x = np.stack([*np.meshgrid(columns + 0.5, rows + 0.5), np.ones(still.shape[1:])], axis=-1)
    true_intrinsics = np.broadcast_to(truth.intrinsics, intrinsics.shape)
    apart = []
    for i in range(len(cam2world)):
        for j in range(i + 1, len(cam2world)):
            place, seen = _turned(x[still[i]], truth.cam2world, true_intrinsics, i, j)
            column, row = np.floor(place).astype(int).T
            seen &= (column >= 0) & (column < width) & (row >= 0) & (row < height)
            seen[seen] = ~truth.dynamic[j, row[seen], column[seen]]
            estimate, before = _turned(x[still[i]], cam2world, intrinsics, i, j)
            apart.append(np.where(before, np.linalg.norm(estimate - place, axis=-1), np.inf)[seen])
    distances = np.concatenate(apart) if apart else np.zeros(0)
    return float(np.quantile(distances, 0.95, method="higher")) if len(distances) else np.nan


def _turned(x, cam2world, intrinsics, i, j):
    """Where pixels x (N,3) of frame i lie in frame j of a camera that turns: (N,2), and (N,) bool: before it."""
    turn = cam2world[j, :3, :3].T @ cam2world[i, :3, :3]
    there = x @ (intrinsics[j] @ turn @ np.linalg.inv(intrinsics[i])).T
    before = there[:, 2] > 1e-6
    return there[:, :2] / np.where(before, there[:, 2], 1)[:, None], before


def score_clip(result: Reconstruction, clip: Clip) -> dict[str, float]:
    """`examples.score`, and `J` at the frames in which something moves, `false`: share of the pixels that are wrongly
    marked; `warnings`: how many; of a camera that only turns `turn_mean`, `turn_max`, degrees (`turn_errors`), `seam`.
    """
    masks = place_in_source(result.dynamic, result.framing)
    moves = clip.dynamic.any(axis=(1, 2))
    figures = score(result, clip) | {
        "J": float(jaccard(masks, clip.dynamic)[moves].mean()) if moves.any() else np.nan,
        "false": float((masks & ~clip.dynamic).mean()),
        "warnings": len(result.info["warnings"]),
    }
    if np.isnan(figures["ate"]):
        wrong = turn_errors(result.cam2world, clip.cam2world)
        figures |= {"turn_mean": float(wrong.mean()), "turn_max": float(wrong.max())}
        figures["seam"] = seam(result.cam2world, result.source_intrinsics, clip)
    return figures


def static_clips(name: str, n_frames: int, width: int) -> dict[str, np.ndarray]:
    """Frames (T,H,W,3) uint8 of a scene in which nothing moves, by what may be mistaken for motion."""
    walk = render(name, n_frames, width, movers=False).frames
    return {
        "parallax": walk,
        "rotation": render(name, n_frames, width, movers=False, camera="rotates").frames,
        "low light": synthetic.in_low_light(walk),
        "compression": synthetic.compressed(walk),
    }


def _print_clips(names, system, n_frames, width):
    print("| clip | ATE / path | rotation error | focal error | depth AbsRel | mask J | false mask | warnings |")
    print("|---|---|---|---|---|---|---|---|")
    for name in names:
        clip = render(name, n_frames, width)
        s = score_clip(reconstruct(clip.frames, system, Options(max_frames=n_frames)), clip)
        path, turned = f"{s['ate']:.2%}", f"{s['rotation']:.3f} deg"
        if "seam" in s:
            path, turned = f"seam {s['seam']:.2f} px", f"{s['turn_mean']:.3f}, at most {s['turn_max']:.3f} deg"
        print(
            f"| {name} | {path} | {turned} | {s['focal']:.1%} | {s['absrel']:.3f} | {s['J']:.3f} | {s['false']:.1%} "
            f"| {s['warnings']} |",
            flush=True,
        )


def _print_static(names, system, n_frames, sizes):
    print("| nothing moves | size | parallax | rotation | low light | compression |")
    print("|---|---|---|---|---|---|")
    for name in names:
        for width in sizes:
            clips = static_clips(name, n_frames, width).values()
            options = Options(max_frames=n_frames)
            false = [reconstruct(frames, system, options).dynamic.mean() for frames in clips]
            print(f"| {name} | {width} |", " | ".join(f"{share:.2%}" for share in false), "|", flush=True)


def main(argv: list[str]) -> int:
    """Print the tables. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark rendered", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}; all if left out")
    parser.add_argument("--system", default="preview")
    parser.add_argument("--max-frames", type=int, default=24)
    parser.add_argument("--width", type=int, default=384, help="pixels; of the clips against their truth")
    parser.add_argument("--static-widths", type=int, nargs="+", default=SIZES, help="pixels; where nothing moves")
    parser.add_argument("--table", choices=("clips", "static", "both"), default="both", help="both take an hour")
    arguments = parser.parse_args(argv)
    try:
        for name in set(arguments.names) - set(NAMES):
            raise InputError(f"The scene {name!r} is unknown; use some of {', '.join(NAMES)}.")
        names, system = arguments.names or NAMES, load_system(arguments.system)
        if arguments.table != "static":
            _print_clips(names, system, arguments.max_frames, arguments.width)
        if arguments.table != "clips":
            _print_static(names, system, arguments.max_frames, arguments.static_widths)
    except InputError as error:
        print(f"error: {error}")
        return 2
    return 0
