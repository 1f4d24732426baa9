"""Weights: from the hub, a folder or a file to a checked network. Importing this takes no torch."""

import os
import re
from typing import TYPE_CHECKING

from ...errors import InputError, shown
from ..base import Progress

if TYPE_CHECKING:
    from ..cut3r import Cut3rNetwork
    from ..da3 import Da3Network
    from ..dust3r import Dust3rNetwork

__all__ = ["has_gpu", "is_hub_id", "load_cut3r", "load_da3", "load_dust3r", "parameter_shapes"]


def load_dust3r(
    source: str,
    name: str | None = None,
    device: str | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
    licence: str | None = None,
    mask_heads: bool = False,
) -> "Dust3rNetwork":
    """A network of DUSt3R's architecture, MonST3R's and DAS3R's included.

    source: a hub id "owner/name" (fetched when it is not cached), a folder with config.json and model.safetensors, or a
    .safetensors or .pth file. name: as shown to the user; None: the source's. device, precision: see `Dust3rNetwork`.
    licence: of the weights, as it goes into reports. mask_heads: they must be DAS3R's, which say what moves. Raises
    `InputError` for weights that cannot be had or used.
    """
    from ..dust3r import Dust3rNetwork  # here: torch takes seconds that other networks need not wait for
    from . import checkpoints

    path, own, said = _found(source, progress)
    model, info = checkpoints.load(path, checkpoints.DAS3R if mask_heads else checkpoints.DUST3R)
    return Dust3rNetwork(model, name or own, {**info, **said, "license": licence}, device, precision)


def load_cut3r(
    source: str,
    device: str | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
    licence: str | None = None,
) -> "Cut3rNetwork":
    """CUT3R's network; source, device, precision, licence: see `load_dust3r`.

    A file with the name of one of the authors' has to be that one, by its SHA-256, wherever it comes from.
    """
    from ..cut3r import Cut3rNetwork
    from . import cut3r

    path, _, said = _found(source, progress)
    model, info = cut3r.load(path)
    return Cut3rNetwork(model, "CUT3R", {**info, **said, "license": licence}, device, precision)


def load_da3(
    source: str,
    device: str | None = None,
    precision: str | None = None,
    progress: Progress | None = None,
    licence: str | None = None,
    whole: bool = False,
) -> "Da3Network":
    """Depth Anything 3's network; source, device, precision, licence: see `load_dust3r`; whole: see `da3.load`."""
    from ..da3 import Da3Network
    from . import da3

    path, _, said = _found(source, progress)
    model, info = da3.load(path, whole)
    return Da3Network(model, da3.name_of(model.config), {**info, **said, "license": licence}, device, precision)


def _found(source, progress):
    """(path, name, what a report says in place of the path's name) of weights, fetched from the hub if they are one's
    there.
    """
    from . import hub

    if os.path.exists(source):
        path, own, said = source, os.path.basename(os.path.abspath(source)), {}
    elif is_hub_id(source):
        path, own, said = hub.fetch(source, progress), source.split("/")[1], {"weights": source}
    else:
        raise InputError(f"The weights {shown(source)} are unknown; use a hub id (owner/name), a folder or a file.")
    if progress is not None:
        progress(1.0, "Reading the weights")
    return path, own, said


def is_hub_id(text: str) -> bool:
    """Whether a text reads like the name of a model on the hub, owner/name, and not like a file."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", text)) and not text.endswith((".pth", ".safetensors"))


def has_gpu() -> bool:
    """Whether there is a CUDA GPU for a network."""
    import torch

    return torch.cuda.is_available()


def parameter_shapes(kind: str, config: dict) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in a network's state dict; takes no memory.

    kind: "dust3r", "das3r", "cut3r" or "da3". config: what its config.json holds. Raises `InputError` for another kind
    or configuration.
    """
    from . import checkpoints, cut3r, da3

    kinds = {"dust3r": checkpoints.DUST3R, "das3r": checkpoints.DAS3R, "cut3r": cut3r.CUT3R, "da3": da3.DA3}
    if kind not in kinds:
        raise InputError(f"The kind of network {shown(kind)} is unknown; use {', '.join(kinds)}.")
    return checkpoints.shapes(kinds[kind].model, checkpoints.configuration(config, "config.json", kinds[kind]))
