"""python -m easi3r.benchmark network: seconds, work and memory of the two-view network with seeded weights.

Work is counted, not guessed: torch's operation counter runs over the model on the meta device. Each stage's work per
second is set against the matrix-multiply rate measured just before and after it, so that a busy machine slows both.
"""

import argparse
import resource
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from .. import InputError, Options, pairs, reconstruct, synthetic
from ..backbones.dust3r import Dust3rNetwork
from ..backbones.dust3r.model import Config, TwoViewTransformer
from ..backbones.dust3r.network import HEAD_SHARE, best_device
from ..motion.attention import statistics
from ..system.registry import row_of
from .long import UNIT

WAY = 33  # frames that are rendered for a job, which takes longer than what is measured


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark network", description=__doc__.split("\n\n")[0])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", default="512x288", help="width x height of the frames, multiples of 16")
    parser.add_argument("--graph", default="swinstride-5-noncyclic")
    parser.add_argument("--head", choices=("dpt", "linear"), default="dpt")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default=best_device())
    parser.add_argument("--job", action="store_true", help="a whole reconstruction of a rendered clip and its files")
    arguments = parser.parse_args(argv)
    try:
        width, height = map(int, arguments.size.split("x"))
        if arguments.job:
            run_job(arguments, width, height)
        else:
            run(arguments, width, height, pairs.build(arguments.frames, arguments.graph))
    except (InputError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(arguments: argparse.Namespace, width: int, height: int, edges: list[tuple[int, int]]) -> None:
    """Measure all stages once and print the table."""
    network = _seeded(arguments)
    config = network.model.config
    network.prediction_dtype = torch.float16  # as handed on in a normal run
    rng = np.random.default_rng(0)
    frames = rng.integers(0, 256, (arguments.frames, height, width, 3), dtype=np.uint8)
    masks = np.zeros(frames.shape[:3], bool)
    masks[:, height // 4 : height // 2, width // 4 : width // 2] = True
    meter = Meter(network.device, network.precision)
    network.encode(frames[:1])  # warm up: kernels and the allocator's first pages
    features = meter.measure("encode", lambda: network.encode(frames))
    meter.measure("pass 1", lambda: statistics(network.attention(features, edges), len(frames), features.grid))
    heads = _time_heads(network)
    kept = meter.measure("pass 2", lambda: list(network.predict(features, edges, masks).pairs))

    work = count_work(config, (height // 16, width // 16))
    n_frames, n_pairs = len(frames), len(edges)
    tera = {
        "encode": n_frames * work["encode"],
        "pass 1": n_pairs * work["pass 1"],
        "pass 2": n_pairs * work["decode"],
        "heads": 2 * n_pairs * work["head"],
    }
    # (stage, seconds, matrix rate around it); the heads' time is taken out of the second pass
    seconds, rate = meter.seconds, meter.rate
    rows = [("encode", seconds["encode"], rate["encode"]), ("pass 1", seconds["pass 1"], rate["pass 1"])]
    rows += [("pass 2", seconds["pass 2"] - sum(heads), rate["pass 2"]), ("heads", sum(heads), rate["pass 2"])]
    threads = torch.get_num_threads()
    print(f"{network.device}, {arguments.precision}, {threads} threads, ViT-L {arguments.head}", end=", ")
    print(f"{n_frames} frames of {width} x {height}, {n_pairs} directed pairs")
    print(f"{'stage':22}{'seconds':>9}{'TFLOP':>9}{'TFLOP/s':>9}{'matrix rate':>13}{'share':>8}")
    _print_row("encode", [rows[0]], tera)
    _print_row("pass 1 (no heads)", [rows[1]], tera)
    _print_row("pass 2 without heads", [rows[2]], tera)
    _print_row("heads (float32)", [rows[3]], tera)
    _print_row("encoder and decoders", rows[:3], tera)
    _print_row("everything", rows, tera)
    print(f"needed per directed pair and pass, all included: {sum(tera.values()) / n_pairs / 2:.3f} TFLOP")
    _print_memory(network, features, kept, meter)


def run_job(arguments: argparse.Namespace, width: int, height: int) -> None:
    """Reconstruct a rendered clip with Easi3R and save it, as a user would but for the weights; print the seconds.

    Seeded weights see nothing, so only times and memory mean anything. After `WAY` frames the clip goes back.
    """
    clip = synthetic.render("room", min(arguments.frames, WAY), width, height)
    there = np.arange(len(clip.frames))
    frames = clip.frames[np.resize(np.concatenate([there, there[-2:0:-1]]), arguments.frames)]
    row = row_of("easi3r-dust3r", arguments.device)
    system = row.recipe(row.card, _seeded(arguments), "Seeded weights.")
    on_gpu = arguments.device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    start = time.perf_counter()
    result = reconstruct(frames, system, Options(max_frames=arguments.frames, graph=arguments.graph))
    solved = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        result.save(folder)
    written = time.perf_counter()
    print(f"{arguments.device}, {arguments.precision}, {len(frames)} frames of {width} x {height}", end=": ")
    print(f"{solved - start:.1f} s, and {written - solved:.1f} s of writing")
    print(", ".join(f"{step} {seconds:.1f} s" for step, seconds in result.info["seconds"].items()))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / UNIT * 1024 / 2**30
    print(f"peak memory of the process {peak:.2f} GiB", end="")
    print(f", of the GPU {torch.cuda.max_memory_allocated() / 2**30:.2f} GiB" if on_gpu else "")


def _seeded(arguments):
    model = seeded_model(Config(head_type=arguments.head))
    return Dust3rNetwork(model, "seeded", device=arguments.device, precision=arguments.precision)


def _print_row(title, rows, tera):
    seconds, work = sum(s for _, s, _ in rows), sum(tera[name] for name, _, _ in rows)
    possible = sum(s * rate for _, s, rate in rows)  # what the matrix rate would have done in that time
    print(f"{title:22}{seconds:9.2f}{work:9.3f}{work / seconds:9.3f}{possible / seconds:13.3f}{work / possible:8.0%}")


def _print_memory(network, features, kept, meter):
    """Peak memory beside the weights, measured; and by computation here and for 65 frames."""
    print(f"peak memory beside the weights: {max(meter.peak.values()) / 2**30:.2f} GiB measured", end=", ")
    here = memory(network, features.frames.shape, len(kept))
    print(f"{sum(here.values()) / 2**30:.2f} computed")
    many = memory(network, (65, *features.frames.shape[1:]), 600)
    parts = ", ".join(f"{name} {size / 2**30:.2f}" for name, size in many.items())
    print(f"for 65 frames of this size, 600 pairs: {sum(many.values()) / 2**30:.2f} GiB computed ({parts})")


def memory(network: Dust3rNetwork, shape: tuple[int, int, int, int], n_pairs: int) -> dict[str, int]:
    """Bytes a run needs beside the weights, by part: frames `shape` (T,H,W,3)."""
    n_frames, height, width, _ = shape
    tokens = n_frames * (height // network.patch) * (width // network.patch)
    channels = network.model.config.dec_depth * network.model.config.dec_num_heads
    heads = max(1, network.largest_batch // HEAD_SHARE) * network.head_bytes(height, width)
    batch = network.largest_batch * network.decoder_bytes(height, width) + heads
    return {
        "frames and tokens": shape[0] * height * width * 3 + 2 * tokens * network.model.config.enc_embed_dim * 4,
        "statistics": 8 * tokens * channels * 4,  # mean and square of two decoders, and as much while they are fused
        "batch": batch,
        "predictions": n_pairs * height * width * 8 * 2,  # two views of four float16 numbers, kept by the solver
    }


def count_work(config: Config, grid: tuple[int, int]) -> dict[str, float]:
    """TFLOP (a multiply-add as two) per image `encode`, per directed pair `pass 1` and `decode`, per view `head`."""
    with torch.device("meta"):
        model = TwoViewTransformer(config)
        images = torch.empty(1, 3, grid[0] * config.patch, grid[1] * config.patch)

    def count(work):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            result = work()
        return result, counter.get_total_flops() / 1e12

    tokens, encode = count(lambda: model.encode(images))
    _, pass_1 = count(lambda: model.decode(tokens, tokens, grid, only_evidence=True))
    (layers, *_), decode = count(lambda: model.decode(tokens, tokens, grid))
    _, head = count(lambda: model.points(layers, grid, 1))
    return {"encode": encode, "pass 1": pass_1, "decode": decode, "head": head}


def seeded_model(config: Any, seed: int = 0, kind: Callable[[Any], Any] = TwoViewTransformer) -> Any:
    """A model of a kind with random weights of a trained network's magnitude."""
    with torch.device("meta"):
        model = kind(config)
    model = model.to_empty(device="cpu").requires_grad_(False)
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.fill_(1.0 if "norm" in name and name.endswith("weight") else 0.01)
        else:
            parameter.normal_(0, parameter[0].numel() ** -0.5, generator=generator)
    return model


def _time_heads(network):
    """A list that fills with the heads' seconds, call by call, while the model runs."""
    seconds, points = [], network.model.points

    def timed(*arguments):
        _wait(network.device)
        start = time.perf_counter()
        result = points(*arguments)
        _wait(network.device)
        seconds.append(time.perf_counter() - start)
        return result

    network.model.points = timed
    return seconds


class Meter:
    """Seconds and peak memory of stages on a device, and the matrix rate (TFLOP/s) in a precision around each."""

    def __init__(self, device: str, precision: str) -> None:
        self.device, self.dtype = device, getattr(torch, precision)
        self.seconds: dict[str, float] = {}
        self.rate: dict[str, float] = {}
        self.peak: dict[str, float] = {}
        self.base = self._used()
        self.last_rate = self._matrix_rate()

    def measure(self, name: str, work: Callable[[], Any]) -> Any:
        """What the work gives."""
        stop, peak = threading.Event(), [0]
        watch = threading.Thread(target=self._watch, args=(stop, peak))
        watch.start()
        try:
            start = time.perf_counter()
            result = work()
            _wait(self.device)
            self.seconds[name] = time.perf_counter() - start
        finally:
            stop.set()
            watch.join()
        self.peak[name] = max(peak[0], self._used()) - self.base
        before, self.last_rate = self.last_rate, self._matrix_rate()
        self.rate[name] = (before + self.last_rate) / 2
        return result

    def _watch(self, stop, peak):
        while not stop.wait(0.01):
            peak[0] = max(peak[0], self._used())

    def _used(self):
        if self.device.startswith("cuda"):
            return torch.cuda.max_memory_allocated(self.device)
        try:
            with open("/proc/self/statm") as file:
                return int(file.read().split()[1]) * resource.getpagesize()
        except OSError:  # macOS has no /proc: the process's peak so far, in bytes there
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    def _matrix_rate(self):
        """TFLOP/s of a large matrix product in the network's precision: the median of a few."""
        size = 8192 if self.device.startswith("cuda") else 2048
        a, b = (torch.randn(size, size, device=self.device).to(self.dtype) for _ in range(2))
        F.linear(a, b)  # the first one finds cold memory and sleeping threads
        times = []
        for _ in range(15):
            start = time.perf_counter()
            F.linear(a, b)
            _wait(self.device)
            times.append(time.perf_counter() - start)
        return 2 * size**3 / float(np.median(times)) / 1e12


def _wait(device):
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)
    elif device == "mps":
        torch.mps.synchronize()
