"""The table of systems: what page, terminal, README and evaluation know. Adding a system = one recipe + one row."""

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from ..backbones.base import Progress
from ..backbones.weights import has_gpu, is_hub_id, load_cut3r, load_da3, load_dust3r
from ..errors import InputError, shown
from .at_once import AtOnce
from .base import Plan, System, SystemCard
from .baselines import Das3r, Monst3r
from .pairwise import Easi3r, Plain
from .planning import plan_at_once, plan_frames, plan_pairs
from .preview import Preview
from .sequence import Sequence

DUST3R = "naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt"
MONST3R = "Junyi42/MonST3R_PO-TA-S-W_ViTLarge_BaseDecoder_512_dpt"
DAS3R = "Kai422kx/das3r"
CUT3R = "liguang0115/cut3r"  # a third party's copy: the authors have theirs where programs cannot fetch it reliably
DA3 = "depth-anything/DA3-SMALL"
DA3_ON_GPU = "depth-anything/DA3-BASE", 542
APACHE = "Apache-2.0: for any use"
NON_COMMERCIAL = "CC BY-NC-SA 4.0: for non-commercial use only"
OF_MONST3R = "made from MonST3R's, CC BY-NC-SA 4.0: for non-commercial use only"
_DOWNLOAD = 2300  # MB of either; DAS3R's: 4 bytes for each of 611,868,426 parameters

_log = logging.getLogger(__name__)

Loader = Callable[..., Any]  # (weights, device, precision, progress) -> network
Recipe = Callable[[SystemCard, Any, str], System]  # (card, network, note)


@dataclass(frozen=True)
class Row:
    """A system: what is said of it, how its network is loaded, the recipe that uses it, and how long that takes."""

    card: SystemCard
    load: Loader
    recipe: Recipe
    plan: Callable[..., Plan] = plan_pairs


def _preview(weights: str | None, device: str | None, precision: str | None, progress: Progress | None) -> Any:
    from ..backbones.preview import PreviewNetwork

    if weights is not None:
        raise InputError("The preview has no weights; leave them out, or use another system.")
    return PreviewNetwork()


def _dust3r(name: str, licence: str = NON_COMMERCIAL, mask_heads: bool = False) -> Loader:
    def load(weights: str, device: str | None, precision: str | None, progress: Progress | None) -> Any:
        own = name if weights in (DUST3R, MONST3R, DAS3R) else None
        return load_dust3r(weights, own, device, precision, progress, licence, mask_heads)

    return load


def _cut3r(weights: str, device: str | None, precision: str | None, progress: Progress | None) -> Any:
    return load_cut3r(weights, device, precision, progress, NON_COMMERCIAL)


def _da3(weights: str, device: str | None, precision: str | None, progress: Progress | None) -> Any:
    return load_da3(weights, device, precision, progress, APACHE)


_CARDS = {
    "preview": SystemCard(
        "preview",
        "Preview: runs anywhere, rough depth",
        "no weights needed",
        None,
        0,
        "Quick preview without a neural network: good for masks and camera rotation, rough in depth. "
        "DUSt3R would give solid surfaces.",
    ),
    "easi3r-dust3r": SystemCard(
        "easi3r-dust3r",
        "Easi3R on DUSt3R",
        NON_COMMERCIAL,
        DUST3R,
        _DOWNLOAD,
        "What moves is read from the network's attention, and a second pass ignores it.",
    ),
    "easi3r-monst3r": SystemCard(
        "easi3r-monst3r",
        "Easi3R on MonST3R",
        NON_COMMERCIAL,
        MONST3R,
        _DOWNLOAD,
        "What moves is read from the network's attention, and a second pass ignores it.",
    ),
    "dust3r": SystemCard(
        "dust3r",
        "DUSt3R alone, without masks",
        NON_COMMERCIAL,
        DUST3R,
        _DOWNLOAD,
        "The network as published: everything is taken for static.",
    ),
    "monst3r": SystemCard(
        "monst3r",
        "MonST3R, masks from optical flow",
        NON_COMMERCIAL,
        MONST3R,
        _DOWNLOAD,
        "As published: what optical flow contradicts moves; nothing is refined.",
    ),
    "das3r": SystemCard(
        "das3r",
        "DAS3R, masks from the network",
        OF_MONST3R,
        DAS3R,
        2450,
        "As published: its network, trained for it, says what moves; nothing is refined.",
    ),
    "cut3r": SystemCard(
        "cut3r",
        "CUT3R: frame by frame, without masks",
        NON_COMMERCIAL,
        CUT3R,
        3174,
        "Cameras and depth are the network's own, nothing is aligned and nothing is looked for that moves. The weights "
        "on the hub are a third party's copy; they are used only if they are the authors', by their SHA-256.",
    ),
    "da3": SystemCard(
        "da3",
        "Depth Anything 3, masks from optical flow",
        APACHE,
        DA3,
        137,
        "Cameras and depth come from all frames at once, by the small network on a CPU and the base one on a GPU; "
        "optical flow refines the cameras and tells what moves.",
        DA3_ON_GPU,
    ),
}
_ROWS: dict[str, Row] = {
    "preview": Row(_CARDS["preview"], _preview, Preview),
    "easi3r-dust3r": Row(_CARDS["easi3r-dust3r"], _dust3r("DUSt3R"), Easi3r),
    "easi3r-monst3r": Row(_CARDS["easi3r-monst3r"], _dust3r("MonST3R"), Easi3r),
    "dust3r": Row(_CARDS["dust3r"], _dust3r("DUSt3R"), Plain),
    "monst3r": Row(_CARDS["monst3r"], _dust3r("MonST3R"), Monst3r),
    "das3r": Row(_CARDS["das3r"], _dust3r("DAS3R", OF_MONST3R, mask_heads=True), Das3r),
    "cut3r": Row(_CARDS["cut3r"], _cut3r, Sequence, plan_frames),
    "da3": Row(_CARDS["da3"], _da3, AtOnce, plan_at_once),
}
_BEST = "easi3r-dust3r", "da3"  # what runs where nobody chooses, best first, before the preview
# Easi3R on a backbone, by the short names that `load_backbone` and the endpoint take
OF_BACKBONE = {"auto": "auto", "preview": "preview", "dust3r": "easi3r-dust3r", "monst3r": "easi3r-monst3r"}


def systems() -> tuple[SystemCard, ...]:
    """The systems there are."""
    return tuple(row.card for row in _ROWS.values())


def register(card: SystemCard, load: Loader, recipe: Recipe) -> None:
    """Add a system, or replace the one of the same name.

    load(weights, device, precision, progress) gives its network, recipe(card, network, note) the `System`.
    """
    _ROWS[card.name] = Row(card, load, recipe)


def row_of(name: str, device: str | None = None) -> Row:
    """The row of a system, with the weights that it has on the device; None: on the best there is.

    Raises `InputError` for a name that is not in the table.
    """
    if name not in _ROWS:
        raise InputError(f"The system {shown(name)} is unknown; use auto, {', '.join(_ROWS)}.")
    row = _ROWS[name]
    if row.card.on_gpu and (device.startswith("cuda") if device else has_gpu()):
        weights, megabytes = row.card.on_gpu
        return replace(row, card=replace(row.card, weights=weights, download_mb=megabytes))
    return row


def check_distinct(names: list[str]) -> list[str]:
    """`names` of systems, if none is there twice; else `InputError`."""
    doubled = next((name for k, name in enumerate(names) if name in names[:k]), None)
    if doubled is not None:
        raise InputError(f"The system {shown(doubled)} is named twice; name each once.")
    return names


def load_system(
    name: str = "auto",
    weights: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
) -> System:
    """A system by name, ready to run.

    name: one of `systems`, or "auto": Easi3R on DUSt3R if there is a CUDA GPU to run it, and its weights or a network
    to fetch them; else Depth Anything 3 if its weights are in the cache; else the preview, whose `note` says why, which
    without a network takes under 5 seconds. weights: None = the registry's (fetched from the model hub on first use),
    or a hub id "owner/name", a folder with config.json and model.safetensors, or a .safetensors or .pth file. device:
    "cpu", "cuda", "mps"; None picks. precision: "float32", "bfloat16"; None picks what is faster (of da3: float32).
    progress(fraction, text) follows a download.

    Raises `InputError` for a name that leads nowhere or weights that cannot be had or used.
    """
    if name == "auto" and weights is None:
        return automatic(lambda found: load_system(found, None, device, precision, progress))
    row = row_of("easi3r-dust3r" if name == "auto" else name, device)
    network = row.load(weights or row.card.weights, device, precision, progress)
    note = note_of(row.card, network)
    if row.card.weights:
        _log.warning(note)
    return row.recipe(row.card, network, note)


def note_of(card: SystemCard, network: Any) -> str:
    """For the user: what a system is, or which weights it runs and under what licence."""
    if card.weights is None:
        return card.note
    origin = f", {network.info['origin']}" if "origin" in network.info else ""
    return f"Weights: {network.info['weights']} ({network.info['hash']}){origin}, {card.licence}."


def automatic(load: Callable[[str], System]) -> System:
    """The best system that can run here now; load(name) loads one."""
    reasons = []
    for name in _BEST:
        reason = unavailable(name)
        if reason is None:
            try:
                return load(name)
            except InputError as error:
                reason = str(error).rstrip(".")
        reasons.append(reason[0].lower() + reason[1:])
    row = row_of("preview")
    return row.recipe(row.card, load("preview").network, f"{row.card.note} Chosen because {' and '.join(reasons)}.")


def likely() -> str:
    """The system that `automatic` chooses if what it fetches can be had."""
    return next((name for name in _BEST if unavailable(name) is None), "preview")


def unavailable(name: str) -> str | None:
    """Why one of `_BEST` is not worth trying on this machine, in words; None if it is. Fetches nothing."""
    if name == "easi3r-dust3r":
        return None if has_gpu() else "there is no GPU for DUSt3R"
    return None if is_cached(name) else "the weights of Depth Anything 3 have not been fetched"


def is_cached(name: str) -> bool:
    """Whether nothing of a system has to be fetched before it can run."""
    from ..backbones.weights import hub

    weights = row_of(name).card.weights
    return weights is None or hub.cached(weights) is not None


def load_backbone(name: str = "auto", progress: Progress | None = None, precision: str | None = None) -> System:
    """Easi3R on some weights: "auto", "preview", "dust3r", "monst3r", a hub id, a folder or a file.

    Short for `load_system`, see there; "dust3r" is Easi3R on DUSt3R here, and not DUSt3R alone.
    """
    if name in OF_BACKBONE:
        return load_system(OF_BACKBONE[name], precision=precision, progress=progress)
    if isinstance(name, str) and (os.path.exists(name) or is_hub_id(name)):
        return load_system("easi3r-dust3r", name, precision=precision, progress=progress)
    known = ", ".join(OF_BACKBONE)
    raise InputError(f"The backbone {shown(name)} is unknown; use {known}, a hub id (owner/name), a folder or a file.")
