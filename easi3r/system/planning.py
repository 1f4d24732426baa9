"""How long a run will take, roughly, before anything is loaded."""

from dataclasses import replace

from .. import pairs
from ..backbones.weights import has_gpu, sam2
from ..motion.refine import sam2_seconds
from ..options import Options
from ..spans import spans_of
from .base import Plan, SystemCard

START = 5  # seconds that a run takes however few its pairs, roughly
# Seconds per directed pair of 512 x 288: without weights, and of DUSt3R's network by device. The preview's is measured
# on two cores. On an H100 the network takes .013 in bfloat16 and .027 in float32 with seeded weights; the GPU that is
# there may be slower. The others are estimates.
SECONDS_PER_PAIR = {"preview": 0.14, "cpu": 20.0, "cuda": 0.05, "mps": 1.0}
# On top of that, by system: flow and the cameras of each pair, for which a directed pair of 512 x 288 takes .19 seconds
# of a core; measured on two.
MORE_PER_PAIR = {"monst3r": 0.1}
# Seconds per frame of 512 x 288 of CUT3R's network, by device. On a CPU: 16 seconds of a core were measured in float32
# with seeded weights, on two cores. An H200 takes .047 in float32 and .042 in bfloat16; the GPU that is there may be
# slower. The others are estimates.
SECONDS_PER_FRAME = {"cpu": 10.0, "cuda": 0.1, "mps": 1.0}

# Seconds per frame of 504 x 280 of Depth Anything 3, alone, and more for each frame that it is looked at together with.
# On a CPU, Small: 24 frames took 62 seconds of a core in float32 with seeded weights. An H100 takes .02 for each of 24
# with Base, .008 of 200; the GPU that is there may be slower. The others are estimates.
SECONDS_AT_ONCE = {"cpu": (0.5, 0.03), "cuda": (0.02, 0.0005), "mps": (0.1, 0.005)}
# Seconds per frame of 448 x 256 of masks from flow; measured: 25 seconds of a core for 24 frames.
MASKS_PER_FRAME = 0.6


def plan_pairs(
    card: SystemCard, n_frames: int, options: Options, device: str, loaded: bool, each: float | None = None
) -> Plan:
    """The `Plan` of a system over pairs; device: where its network runs; loaded: nothing is left to fetch; each:
    seconds per pair, where they have been measured.
    """
    n_pairs = sum(len(pairs.build(len(span.numbers), options.graph)) for span in spans_of(n_frames))
    more = MORE_PER_PAIR.get(card.name, 0.0)
    if each is None:
        each = SECONDS_PER_PAIR["preview" if card.weights is None else device.split(":")[0]] + more
    masks = MASKS_PER_FRAME * n_frames * (options.flow_masks and card.name == "dust3r")
    gpu_seconds = 12 + 0.3 * n_frames + (0.09 + more) * n_pairs if card.weights else 0.0  # start and alignment, rest
    plan = Plan(
        n_frames, n_pairs, START + each * n_pairs + masks, gpu_seconds + masks, 0 if loaded else card.download_mb
    )
    return _with_sam2(plan, options)


def plan_frames(
    card: SystemCard, n_frames: int, options: Options, device: str, loaded: bool, each: float | None = None
) -> Plan:
    """The `Plan` of a system frame by frame; as `plan_pairs`, each: seconds per frame."""
    masks = MASKS_PER_FRAME * (options.flow_masks or card.name == "da3")
    if each is None:
        each = SECONDS_PER_FRAME[device.split(":")[0]] + masks
    gpu_seconds = 12 + (0.3 + masks) * n_frames
    plan = Plan(n_frames, None, START + each * n_frames, gpu_seconds, 0 if loaded else card.download_mb)
    return _with_sam2(plan, options)


def plan_at_once(
    card: SystemCard, n_frames: int, options: Options, device: str, loaded: bool, each: float | None = None
) -> Plan:
    """The `Plan` of a system that looks at all frames at once; as `plan_frames`."""
    alone, together = SECONDS_AT_ONCE[device.split(":")[0]]
    return plan_frames(card, n_frames, options, device, loaded, each or alone + together * n_frames + MASKS_PER_FRAME)


def _with_sam2(plan: Plan, options: Options) -> Plan:
    """The plan with what `Options.sam2` adds; a system that asks for no GPU is then computed where SAM 2 has one."""
    if not options.sam2:
        return plan
    more, gpu = sam2_seconds(plan.frames, has_gpu()), plan.gpu_seconds or plan.seconds
    return replace(
        plan,
        seconds=plan.seconds + more,
        gpu_seconds=gpu + more if has_gpu() else plan.gpu_seconds,
        download_mb=plan.download_mb + sam2.to_fetch(),
    )
