"""python -m easi3r.benchmark recurrent: seconds and work of networks with cameras of their own, with seeded weights.

Work is counted by torch's operation counter on the meta device, and set against the matrix-multiply rate measured just
before and after, so that a busy machine slows both. CUT3R is measured frame by frame; as in its specification
(cut3r.md, section 17) its work is that of linear layers and convolutions, and the products of attention, a tenth of it
again, are not counted. Depth Anything 3 is measured over all frames, which it looks at at once, with its attention.
"""

import argparse
import collections
import sys
from dataclasses import replace

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from .. import InputError
from ..backbones.cut3r import Cut3rNetwork
from ..backbones.cut3r.model import Config, RecurrentTransformer
from ..backbones.da3 import Da3Network
from ..backbones.da3 import model as da3
from ..backbones.da3.model import DepthAnything3
from ..backbones.dust3r.network import best_device
from ..backbones.weights.da3 import configuration
from .network import Meter, seeded_model


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark recurrent", description=__doc__.split("\n\n")[0])
    parser.add_argument("--network", choices=("cut3r", "da3-small", "da3-base"), default="cut3r")
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", help="width x height of the frames, multiples of 16 (cut3r: 512x288) or 14 (504x280)")
    parser.add_argument("--head", choices=("dpt", "linear"), default="dpt", help="of cut3r")
    parser.add_argument("--world", action="store_true", help="of cut3r: also the points in the common frame")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default=best_device())
    arguments = parser.parse_args(argv)
    try:
        recurrent = arguments.network == "cut3r"
        width, height = map(int, (arguments.size or ("512x288" if recurrent else "504x280")).split("x"))
        (run if recurrent else run_at_once)(arguments, width, height)
    except (InputError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(arguments: argparse.Namespace, width: int, height: int) -> None:
    """Measure CUT3R frame by frame and print the table; the first frame, which warms up, is left out."""
    config = Config(head_type=arguments.head)
    model = seeded_model(config, kind=RecurrentTransformer)
    network = Cut3rNetwork(model, device=arguments.device, precision=arguments.precision)
    frames = np.random.default_rng(0).integers(0, 256, (arguments.frames + 1, height, width, 3), dtype=np.uint8)
    stream = network.predict(frames, world=arguments.world)
    next(stream)
    meter = Meter(network.device, network.precision)
    for number in range(1, len(frames)):
        meter.measure(str(number), lambda: next(stream))
    work = sum(count_work(config, (height // 16, width // 16), arguments.world).values())
    more = ", points in the common frame too" if arguments.world else ""
    _print_head(network, f"ViT-L {arguments.head}, frames of {width} x {height}{more}")
    rows = [(name, seconds, meter.rate[name]) for name, seconds in meter.seconds.items()]
    seconds, rate = (float(np.median([row[k] for row in rows])) for k in (1, 2))
    share = float(np.median([work / s / r for _, s, r in rows]))
    for row in rows:
        _print_row(*row, work)
    print(f"{'median':8}{seconds:9.3f}{work:9.3f}{work / seconds:9.3f}{rate:13.3f}{share:8.0%}")
    print(f"peak memory beside the weights: {max(meter.peak.values()) / 2**30:.2f} GiB, however many frames")


def run_at_once(arguments: argparse.Namespace, width: int, height: int) -> None:
    """Measure Depth Anything 3 over all frames, after a run over one that warms up, and print the table."""
    config = replace(configuration({"model_name": arguments.network}, arguments.network), whole=False)
    model = seeded_model(config, kind=DepthAnything3)
    network = Da3Network(model, device=arguments.device, precision=arguments.precision)
    frames = np.random.default_rng(0).integers(0, 256, (arguments.frames, height, width, 3), dtype=np.uint8)
    list(network.predict(frames[:1]))
    meter = Meter(network.device, network.precision)
    meter.measure("all", lambda: collections.deque(network.predict(frames), maxlen=0))
    _print_head(network, f"{arguments.network}, {len(frames)} frames of {width} x {height}")
    _print_row("all", meter.seconds["all"], meter.rate["all"], count_work_at_once(config, frames.shape))
    print(f"{meter.seconds['all'] / len(frames):.3f} seconds per frame")
    print(f"peak memory beside the weights: {meter.peak['all'] / 2**30:.2f} GiB")


def _print_head(network, what):
    print(f"{network.device}, {network.precision}, {torch.get_num_threads()} threads, {what}")
    print(f"{'frame':8}{'seconds':>9}{'TFLOP':>9}{'TFLOP/s':>9}{'matrix rate':>13}{'share':>8}")


def _print_row(name, seconds, rate, work):
    print(f"{name:8}{seconds:9.3f}{work:9.3f}{work / seconds:9.3f}{rate:13.3f}{work / seconds / rate:8.0%}")


def count_work_at_once(config: da3.Config, shape: tuple[int, ...]) -> float:
    """TFLOP (a multiply-add as two) of depth and cameras of frames (T,H,W,3), with the products of attention."""
    with torch.device("meta"):
        model, frames = DepthAnything3(config), torch.empty(shape, dtype=torch.uint8)
    grid, maps = (shape[1] // config.patch, shape[2] // config.patch), []
    with FlopCounterMode(display=False) as counter, torch.inference_mode():
        for output in model.backbone.outputs(frames, "first", None, shape[0], lambda fraction: None):
            maps.append(model.head.project(output.level, output.features, grid))
        model.head.depth(maps, (shape[1], shape[2]))
        model.cameras(output.camera)
    return counter.get_total_flops() / 1e12


def count_work(config: Config, grid: tuple[int, int], world: bool) -> dict[str, float]:
    """TFLOP (a multiply-add as two) per frame by stage, without the products of attention."""
    with torch.device("meta"):
        model = RecurrentTransformer(config)
        images = torch.empty(1, 3, grid[0] * config.patch, grid[1] * config.patch)
    work = {}

    def count(name, stage):
        with FlopCounterMode(display=False) as counter, torch.inference_mode():
            result = stage()
        counts = counter.get_flop_counts()["Global"]
        work[name] = sum(count for operation, count in counts.items() if operation != torch.ops.aten.bmm) / 1e12
        return result

    carried = model.start()
    tokens = count("encode", lambda: model.encode(images))
    decoded = count("decode", lambda: model.decode(tokens, grid, carried, first=False))
    count("own points", lambda: model.own_points(decoded, grid))
    count("camera", lambda: model.camera(decoded))
    count("remember", lambda: model.remember(tokens, decoded, carried))
    if world:
        count("common points", lambda: model.common_points(decoded, grid))
    return work
