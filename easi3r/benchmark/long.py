"""Long clips that return to where they began: python -m easi3r.benchmark long [--frames 100,300,1000] [--clips FOLDER]

Each length is rendered (`synthetic.around_block`), reconstructed from every frame of a video of it, and all files are
written, in a process of its own, whose peak of resident memory it then is; what is known of the clip is loaded after
that was read. The loop's gap is the way from the first camera to the last one as found against the true one, after the
alignment that ATE has, as a share of the whole path.
"""

import argparse
import resource
import sys
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np

from .. import InputError, Options, load_system, reconstruct, scoring, synthetic, video
from ..metrics import umeyama
from ..synthetic import load_truth, save_truth

WIDTH, HEIGHT, FPS = 128, 80, 24
LOSSLESS = {"crf": "0", "preset": "veryfast"}  # but for the colour, of which a video keeps every second row and column
UNIT = 1024 if sys.platform == "darwin" else 1  # what `ru_maxrss` counts in, per KiB


def render(path: Path, n_frames: int) -> None:
    """Write a clip of so many frames as mp4 to `path`, and its truth beside it (`synthetic.load_truth`)."""
    clip = synthetic.around_block(n_frames, WIDTH, HEIGHT)
    save_truth(path.with_suffix(".npz"), clip)
    video.write(path, clip.frames, FPS, LOSSLESS)


def loop_gap(cam2world: np.ndarray, truth: np.ndarray) -> float:
    """Error of the way from the first camera to the last, as a share of the true path; both (T,4,4) cam2world."""
    found, true = cam2world[:, :3, 3], truth[:, :3, 3]
    scale, rotation, _ = umeyama(found, true)
    error = scale * rotation @ (found[-1] - found[0]) - (true[-1] - true[0])
    return float(np.linalg.norm(error) / np.linalg.norm(np.diff(true, axis=0), axis=1).sum())


def measure(path: Path, n_frames: int, system: str) -> dict[str, float]:
    """Seconds, peak memory and errors of a run over all frames of `path`, a clip with its truth beside it.

    `computing` and `writing` in seconds; `peak` in MB (a million bytes) of the process so far, which should have done
    nothing else; `ate`, `gap` (`loop_gap`) as shares of the path; `J` and `absrel` of `scoring.score`.
    """
    start = time.perf_counter()
    result = reconstruct(path, load_system(system), Options(max_frames=n_frames))
    solved = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result.save(folder)
    written = time.perf_counter()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT * 1024 / 1e6
    truth = load_truth(path.with_suffix(".npz"))
    found = scoring.score(result, truth)
    return {
        "computing": solved - start,
        "writing": written - solved,
        "peak": peak,
        "gap": loop_gap(result.cam2world, truth.cam2world[result.info["frame_numbers"]]),
        **{name: found[name] for name in ("ate", "J", "absrel")},
    }


def _alone(work, *arguments):
    """`work(*arguments)` in a fresh process: what it returns, or raises."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def main(argv: list[str]) -> int:
    """Print the table. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark long", description=__doc__.split("\n\n")[1])
    parser.add_argument("--frames", default="100,300,1000", help="lengths of the clips, with commas between them")
    parser.add_argument("--clips", type=Path, help="folder to keep the rendered clips in, and to take them from")
    parser.add_argument("--system", default="preview")
    arguments = parser.parse_args(argv)
    try:
        lengths = [int(length) for length in arguments.frames.split(",")]
    except ValueError:
        parser.error(f"--frames is {arguments.frames!r}; it must be whole numbers with commas between them")
    print("| frames | computing, s | writing, s | peak, MB | ATE / path | loop gap / path | mask J | depth AbsRel |")
    print("|---" * 8 + "|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = arguments.clips or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        try:
            for n_frames in lengths:
                path = folder / f"block_{n_frames}.mp4"
                if not path.exists():  # written last, and never by halves
                    _alone(render, path, n_frames)
                s = _alone(measure, path, n_frames, arguments.system)
                print(
                    f"| {n_frames} | {s['computing']:.0f} | {s['writing']:.0f} | {s['peak']:.0f} | {s['ate']:.2%} "
                    f"| {s['gap']:.2%} | {s['J']:.3f} | {s['absrel']:.3f} |",
                    flush=True,
                )
        except InputError as error:
            print(f"error: {error}")
            return 2
    return 0
