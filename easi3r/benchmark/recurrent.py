"""python -m easi3r.benchmark recurrent: seconds and work per frame of CUT3R's network with seeded weights.

Work is counted by torch's operation counter on the meta device, and set against the matrix-multiply rate measured just
before and after every frame, so that a busy machine slows both. As in the specification (cut3r.md, section 17) it is
that of linear layers and convolutions; the products of attention, a tenth of it again, are not counted.
"""

import argparse
import sys

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from .. import InputError
from ..backbones.cut3r import Cut3rNetwork
from ..backbones.cut3r.model import Config, RecurrentTransformer
from ..backbones.dust3r.network import best_device
from .network import Meter, seeded_model


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m easi3r.benchmark recurrent", description=__doc__.split("\n\n")[0])
    parser.add_argument("--frames", type=int, default=4)
    parser.add_argument("--size", default="512x288", help="width x height of the frames, multiples of 16")
    parser.add_argument("--head", choices=("dpt", "linear"), default="dpt")
    parser.add_argument("--world", action="store_true", help="also the points in the common frame")
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--device", default=best_device())
    arguments = parser.parse_args(argv)
    try:
        width, height = map(int, arguments.size.split("x"))
        run(arguments, width, height)
    except (InputError, ValueError) as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def run(arguments: argparse.Namespace, width: int, height: int) -> None:
    """Measure frame by frame and print the table; the first frame, which warms up, is left out."""
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
    print(f"{network.device}, {network.precision}, {torch.get_num_threads()} threads, ViT-L {arguments.head}", end=", ")
    print(f"frames of {width} x {height}{', points in the common frame too' if arguments.world else ''}")
    print(f"{'frame':8}{'seconds':>9}{'TFLOP':>9}{'TFLOP/s':>9}{'matrix rate':>13}{'share':>8}")
    rows = [(name, seconds, meter.rate[name]) for name, seconds in meter.seconds.items()]
    seconds, rate = (float(np.median([row[k] for row in rows])) for k in (1, 2))
    share = float(np.median([work / s / r for _, s, r in rows]))
    for name, s, r in rows:
        print(f"{name:8}{s:9.3f}{work:9.3f}{work / s:9.3f}{r:13.3f}{work / s / r:8.0%}")
    print(f"{'median':8}{seconds:9.3f}{work:9.3f}{work / seconds:9.3f}{rate:13.3f}{share:8.0%}")
    print(f"peak memory beside the weights: {max(meter.peak.values()) / 2**30:.2f} GiB, however many frames")


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
