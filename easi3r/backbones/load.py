"""From a name to a backbone."""

import logging
import os
import re

from ..errors import InputError, shown

HUB = {
    "dust3r": ("DUSt3R", "naver/DUSt3R_ViTLarge_BaseDecoder_512_dpt"),
    "monst3r": ("MonST3R", "Junyi42/MonST3R_PO-TA-S-W_ViTLarge_BaseDecoder_512_dpt"),
}
LICENSE = "the weights of DUSt3R and MonST3R are under CC BY-NC-SA 4.0: for non-commercial use only"
_log = logging.getLogger(__name__)


def load_backbone(name="auto", progress=None, precision=None):
    """A two-view predictor by name.

    name: "auto"; "preview" (no weights); "dust3r" or "monst3r" (fetched from the model hub on first use, 2.3 GB); a hub
    id "owner/name"; a folder with config.json and model.safetensors; a .safetensors or .pth file. "auto" is DUSt3R if
    its weights are in the cache or there is a CUDA GPU to run it and a network to fetch them, else the preview; its
    `note` says why, and without a network that takes under 5 seconds. progress(fraction, text) follows a download.
    precision: see `Dust3rBackbone`; the preview has none.

    Raises `InputError` for a name that leads nowhere or weights that cannot be had or used.
    """
    if name == "preview":
        return _preview()
    if name == "auto":
        return _automatic(progress, precision)
    if name in HUB:
        return _from_hub(*HUB[name], progress, precision)
    if os.path.exists(name):
        return _from_path(name, progress, precision)
    if isinstance(name, str) and re.fullmatch(r"[\w.-]+/[\w.-]+", name) and not name.endswith((".pth", ".safetensors")):
        return _from_hub(name.split("/")[1], name, progress, precision)
    known = ", ".join(("auto", "preview", *HUB))
    raise InputError(f"The backbone {shown(name)} is unknown; use {known}, a hub id (owner/name), a folder or a file.")


def _automatic(progress, precision):
    from .dust3r import hub

    if not hub.cached(HUB["dust3r"][1]) and not _has_gpu():
        return _preview("there is no GPU for DUSt3R and its weights have not been fetched")
    try:
        return load_backbone("dust3r", progress, precision)
    except InputError as error:
        return _preview(str(error))


def _has_gpu():
    import torch  # here, as it takes seconds that the preview need not wait for

    return torch.cuda.is_available()


def _preview(reason=None):
    from .preview import PreviewBackbone

    backbone = PreviewBackbone()
    if reason:
        backbone.note = f"{backbone.note} Chosen because {reason[0].lower()}{reason[1:].rstrip('.')}."
    return backbone


def _from_hub(name, repository, progress, precision):
    from .dust3r import hub

    return _network(hub.fetch(repository, progress), name, repository, progress, precision)


def _from_path(path, progress, precision):
    return _network(path, os.path.basename(os.path.abspath(path)), None, progress, precision)


def _network(path, name, repository, progress, precision):
    from .dust3r import Dust3rBackbone, checkpoints

    if progress is not None:
        progress(1.0, "Reading the weights")
    model, info = checkpoints.load(path)
    info |= {"license": LICENSE, **({"weights": repository} if repository else {})}
    backbone = Dust3rBackbone(model, name, info, precision=precision)
    backbone.note = f"Weights: {info['weights']} ({info['hash']}); {LICENSE}."
    _log.warning(backbone.note)
    return backbone
