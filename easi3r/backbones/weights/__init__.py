"""Weights: from the hub, a folder or a file to a checked network. Importing this takes no torch."""

import os
import re
from typing import TYPE_CHECKING

from ...errors import InputError, shown
from ..base import Progress

if TYPE_CHECKING:
    from ..dust3r import Dust3rNetwork

__all__ = ["has_gpu", "is_hub_id", "load_dust3r", "parameter_shapes"]


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
    from . import checkpoints, hub

    if os.path.exists(source):
        path, own, repository = source, os.path.basename(os.path.abspath(source)), None
    elif is_hub_id(source):
        path, own, repository = hub.fetch(source, progress), source.split("/")[1], source
    else:
        raise InputError(f"The weights {shown(source)} are unknown; use a hub id (owner/name), a folder or a file.")
    if progress is not None:
        progress(1.0, "Reading the weights")
    model, info = checkpoints.load(path, mask_heads)
    info |= {"license": licence, **({"weights": repository} if repository else {})}
    return Dust3rNetwork(model, name or own, info, device, precision)


def is_hub_id(text: str) -> bool:
    """Whether a text reads like the name of a model on the hub, owner/name, and not like a file."""
    return bool(re.fullmatch(r"[\w.-]+/[\w.-]+", text)) and not text.endswith((".pth", ".safetensors"))


def has_gpu() -> bool:
    """Whether there is a CUDA GPU for a network."""
    import torch

    return torch.cuda.is_available()


def parameter_shapes(kind: str, config: dict) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor in a network's state dict; takes no memory.

    kind: "dust3r", "das3r". config: what its config.json holds. Raises `InputError` for another kind or configuration.
    """
    if kind not in ("dust3r", "das3r"):
        raise InputError(f"The kind of network {shown(kind)} is unknown; use dust3r or das3r.")
    import torch

    from ..dust3r.model import TwoViewTransformer
    from .checkpoints import configuration

    with torch.device("meta"):
        model = TwoViewTransformer(configuration(config, "config.json", kind == "das3r"))
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
