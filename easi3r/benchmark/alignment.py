"""The alignment against the published procedure: python -m easi3r.benchmark alignment [--golden DIR] [--quick]

Seconds are processor seconds of this process, so that other work on the machine does not count.
"""

import argparse
import json
import time
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from .. import alignment, cleanup, synthetic
from ..alignment import Alignment
from ..backbones.base import PairPrediction
from ..camera import Camera
from ..cleanup.floaters import MARGIN, remove_floaters
from ..metrics import depth_absrel, trajectory_errors
from ..pairs import build
from .reference_solver import solve_reference

GOLDEN = Path(__file__).resolve().parents[3] / "shared" / "golden"
CLIPS = ("align_orbit", "align_forward", "align_noisy")
# frames, width, height
SIZES = ((10, 96, 56), (24, 96, 56), (65, 96, 56), (10, 256, 144), (10, 512, 288), (65, 512, 288), (300, 256, 144))
MARGINS = (0.999, 0.97, MARGIN, 0.9)  # of the clean-up; the first is the published one
REFERENCE_LIMIT = 8e6  # pixels of all pairs up to which the reference is run: 300 steps take minutes there


def load_golden(path: Path) -> tuple[list[PairPrediction], int, dict[str, Any]]:
    """A golden alignment problem: pairs, T, and the truth.

    It has cam2world (T,4,4) and depth (T,H,W) float64, dynamic (T,H,W) bool and focal in pixels.
    """
    data = np.load(path)
    pairs = [
        PairPrediction(int(i), int(j), *views)
        for (i, j), *views in zip(data["edges"], data["pts1"], data["pts2"], data["conf1"], data["conf2"])
    ]
    cam2world = np.tile(np.eye(4), (len(data["gt_depth"]), 1, 1))
    cam2world[:, :3, :3], cam2world[:, :3, 3] = data["gt_cam2world_R"], data["gt_cam2world_t"]
    depth, dynamic = data["gt_depth"].astype(np.float64), data["gt_dynamic"]
    truth = {"cam2world": cam2world, "depth": depth, "dynamic": dynamic, "focal": float(data["gt_focal"])}
    return pairs, len(depth), truth


def solve(pairs: Iterable[PairPrediction], n_frames: int, masks: np.ndarray | None = None) -> Alignment:
    """The alignment of `pairs` and its clean-up; masks (T,H,W) bool of moving pixels, or None."""
    world = alignment.solve(pairs, n_frames, masks)
    depth, confidence = cleanup.apply(world.depth, world.confidence, world.cam2world, cameras_of(world), masks)
    return replace(world, depth=depth, confidence=confidence)


def cameras_of(world: Alignment) -> list[Camera]:
    """The cameras of an `Alignment` without zoom."""
    height, width = world.depth.shape[1:]
    return [Camera.centred(world.focal, width, height)] * len(world.depth)


def score(result: Alignment, truth: dict[str, Any]) -> dict[str, float]:
    """Objective, ATE, relative errors (means over consecutive frames), depth AbsRel and focal of a result.

    truth has cam2world (T,4,4) and depth (T,H,W), 0 where unknown; ATE and `rpe_t` are in its units, `rpe_r_deg` in
    degrees, the focal in pixels.
    """
    path = trajectory_errors(result.cam2world, truth["cam2world"])
    return {
        "loss": result.objective,
        "ate": path["ate"],
        "rpe_t": path["rte_mean"],
        "rpe_r_deg": path["rre_mean"],
        "depth_absrel": depth_absrel(result.depth, truth["depth"], truth["depth"] > 0),
        "focal": result.focal,
    }


def main(argv: list[str]) -> int:
    """Print the tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark alignment", description=__doc__)
    parser.add_argument("--golden", type=Path, default=GOLDEN, help="folder with align_*.npz and align_reference.json")
    parser.add_argument("--quick", action="store_true", help="golden clips only, without running the reference solver")
    options = parser.parse_args(argv)
    names = [name for name in CLIPS if (options.golden / f"{name}.npz").exists()]
    if names:
        _golden_table(options.golden, names, not options.quick)
    else:
        print(f"No align_*.npz in {options.golden}; only rendered clips are measured.")
    if not options.quick:
        _scaling_table()
        _cleanup_table()
    return 0


def _timed(solver, *arguments, **options):
    start = time.process_time()
    result = solver(*arguments, **options)
    return result, time.process_time() - start


def _golden_table(folder, names, with_reference):
    published = json.loads((folder / "align_reference.json").read_text())
    columns = list(published[names[0]])
    print("Golden clips. In brackets: times the published value.\n")
    print("| clip | solver | " + " | ".join(columns) + " | s |\n" + "|---" * (len(columns) + 3) + "|")
    for name in names:
        pairs, n_frames, truth = load_golden(folder / f"{name}.npz")
        rows = [("published", published[name], float("nan"))]
        if with_reference:
            result, seconds = _timed(solve_reference, pairs, n_frames)
            rows.append(("reference, here", score(result, truth), seconds))
        for label, masks in (("ours", None), ("ours, true masks", truth["dynamic"])):
            result, seconds = _timed(solve, pairs, n_frames, masks)
            rows.append((label, score(result, truth), seconds))
        for label, values, seconds in rows:
            cells = " | ".join(f"{values[c]:.4f} ({values[c] / published[name][c]:.3f})" for c in columns)
            print(f"| {name} | {label} | {cells} | {seconds:.2f} |", flush=True)


def _scaling_table():
    print("\nRendered room, predictions of synthetic.predictions, swinstride-5-noncyclic.\n")
    columns = ("frames", "size", "pairs", "s", "reference s", "ATE", "reference ATE", "AbsRel", "reference AbsRel")
    print("| " + " | ".join(columns) + " |\n" + "|---" * len(columns) + "|")
    for n_frames, width, height in SIZES:
        clip = synthetic.render("room", n_frames, width, height)
        edges = build(n_frames)
        truth = {"cam2world": clip.cam2world, "depth": clip.depth}
        spent = [0.0]
        result, seconds = _timed(solve, _counted(synthetic.predictions(clip, edges), spent), n_frames)
        ours, reference, reference_seconds = score(result, truth), {"ate": np.nan, "depth_absrel": np.nan}, np.nan
        if len(edges) * width * height <= REFERENCE_LIMIT:
            pairs = list(synthetic.predictions(clip, edges))
            result, reference_seconds = _timed(solve_reference, pairs, n_frames)
            reference = score(result, truth)
        print(
            f"| {n_frames} | {width} x {height} | {len(edges)} | {seconds - spent[0]:.2f} | {reference_seconds:.1f} "
            f"| {ours['ate']:.4f} | {reference['ate']:.4f} "
            f"| {ours['depth_absrel']:.4f} | {reference['depth_absrel']:.4f} |",
            flush=True,
        )


def _cleanup_table():
    """What the clean-up removes, by its margin, where predictions smear depth over edges, as networks do."""
    print(
        "\nClean-up: share of good static points (depth within 5 %) and of floating ones (10 % too near) it removes.\n"
    )
    print("| scene | floating points | " + " | ".join(f"margin {m}: good, floating" for m in MARGINS) + " |")
    print("|---" * (len(MARGINS) + 2) + "|")
    for name in ("orbit", "room", "street"):
        clip = synthetic.render(name, 24, 224, 128)
        smeared = np.stack([1 / cv2.GaussianBlur(1 / depth, (0, 0), 1.5) for depth in clip.depth])
        doubt = 1 / (1 + 20 * np.abs(np.log(smeared / clip.depth)))  # the network is less sure there
        pairs = []
        for pair in synthetic.predictions(replace(clip, depth=smeared), build(24)):
            conf1, conf2 = 1 + (pair.conf1 - 1) * doubt[pair.i], 1 + (pair.conf2 - 1) * doubt[pair.j]
            pairs.append(replace(pair, conf1=conf1, conf2=conf2))
        world = alignment.solve(pairs, 24, clip.dynamic)
        cameras = cameras_of(world)
        static = ~clip.dynamic
        error = world.depth / clip.depth * np.median((clip.depth / world.depth)[static])
        good, floating = static & (np.abs(error - 1) < 0.05), static & (error < 0.9)
        cells = []
        for margin in MARGINS:
            left = remove_floaters(world.depth, world.confidence, world.cam2world, cameras, clip.dynamic, margin)
            cells.append(f"{(left[good] == 0).mean():.1%}, {(left[floating] == 0).mean():.0%}")
        print(f"| {name} | {floating.sum() / static.sum():.1%} | " + " | ".join(cells) + " |", flush=True)


def _counted(predictions, spent):
    """Pass predictions on; adds the processor seconds of making them to spent[0]."""
    predictions = iter(predictions)
    while True:
        start = time.process_time()
        pair = next(predictions, None)
        spent[0] += time.process_time() - start
        if pair is None:
            return
        yield pair
