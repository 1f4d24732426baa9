"""Depth Anything 3's weights: what their configuration may say, and which of them there are.

Source: specification da3.md, section 1.
"""

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...errors import InputError
from ..da3.heads import LEVELS
from ..da3.model import Config, DepthAnything3
from . import checkpoints

_BLOCKS = {"out_layers": (5, 7, 9, 11), "alt_start": 4}
_MODELS = {  # by `model_name`
    "da3-small": {
        **dict(zip(("embed_dim", "depth", "num_heads", "features"), (384, 12, 6, 64))),
        **_BLOCKS,
        "out_channels": (48, 96, 192, 384),
    },
    "da3-base": {
        **dict(zip(("embed_dim", "depth", "num_heads", "features"), (768, 12, 12, 128))),
        **_BLOCKS,
        "out_channels": (96, 192, 384, 768),
    },
}
_NETS = {"vits": "da3-small", "vitb": "da3-base"}  # by the name of a `net`
_WIDTHS = {384: "DA3-SMALL", 768: "DA3-BASE", 1024: "DA3-LARGE", 1536: "DA3-GIANT"}  # channels of what is published
_DEFAULTS = {"camera_encoder_heads": 16, "process_res": 504}  # where a configuration leaves them out
_FIXED = {"patch_size": 14, "cat_token": True, "output_dim": 2, "trunk_depth": 4}
_COUNTS = ("embed_dim", "depth", "num_heads", "alt_start", "features", "camera_encoder_heads", "process_res")
_ALIAS = re.compile(r"(model\.head\.scratch\.output_conv2_aux\.)[1-3](\.2\.\w+)")  # one norm, by four names
_USE = "use DA3-SMALL or DA3-BASE"


def load(path: str | Path, whole: bool = False) -> tuple[Any, dict]:
    """The model of a folder or file, see `checkpoints.load`.

    All names and shapes are checked; whole: also read what only rays and known cameras need.
    """
    return checkpoints.load(path, DA3 if whole else _LEAN)


def name_of(config: Config) -> str:
    """As shown to the user."""
    size = _WIDTHS.get(config.embed_dim, "")
    return "Depth Anything 3" + size.removeprefix("DA3").replace("-", " ").title()


def configuration(values: dict, source: str) -> Config:
    """The `Config` of what config.json says: `model_name` alone, with `config`, or the sizes themselves.

    Raises `InputError` for another model, or sizes that it cannot have.
    """
    given = _flat(values)
    model = str(values.get("model_name") or _NETS.get(str(given.get("name")), "")).lower()
    given = {**_DEFAULTS, **_MODELS.get(model, {}), **given}
    missing = [name for name in (*_COUNTS, "out_layers", "out_channels") if name not in given]
    if missing:
        said = f"is of the model {model}" if model else f"lacks {', '.join(missing[:3])}"
        raise InputError(f"The configuration of {source} {said}, which cannot be used here; {_USE}.")
    wrong = [name for name in _COUNTS if not checkpoints.is_count(given[name])]
    wrong += [name for name in ("out_layers", "out_channels") if not _are_counts(given[name])]
    wrong = wrong or _impossible(given)
    if wrong:
        said = ", ".join(f"{name} = {given[name]!r}" for name in wrong[:3])
        raise InputError(f"The configuration of {source} has {said}, which this network does not know.")
    sizes: dict[str, Any] = {name: int(given[name]) for name in _COUNTS}
    layers, channels = (tuple(int(value) for value in given[name]) for name in ("out_layers", "out_channels"))
    return Config(max_side=sizes.pop("process_res"), out_layers=layers, out_channels=channels, **sizes)


def _flat(values):
    """All that a configuration says, of whatever part of the network."""
    nested = values.get("config")
    parts = nested if isinstance(nested, dict) else {}
    net, head, encoder = (parts.get(name) if isinstance(parts.get(name), dict) else {} for name in _PARTS)
    heads = {"camera_encoder_heads": encoder["num_heads"]} if "num_heads" in encoder else {}
    own = {name: encoder[name] for name in ("trunk_depth",) if name in encoder}
    return {**head, **net, **heads, **own, **{name: value for name, value in values.items() if name != "config"}}


_PARTS = ("net", "head", "cam_enc")


def _are_counts(values):
    return isinstance(values, (list, tuple)) and len(values) == LEVELS and all(map(checkpoints.is_count, values))


def _impossible(given):
    """Names of sizes that are counts and yet cannot be."""
    width, layers, start = given["embed_dim"], list(given["out_layers"]), given["alt_start"]
    possible = {  # rotary positions turn a quarter of a head's channels at a time; waves take a quarter of a map's
        "num_heads": width % (4 * given["num_heads"]) == 0,
        "camera_encoder_heads": width % given["camera_encoder_heads"] == 0,
        "features": given["features"] % 8 == 0,
        "out_channels": all(channels % 4 == 0 for channels in given["out_channels"]),
        "alt_start": start >= 2,
        "out_layers": sorted(set(layers)) == layers
        and all(layer % 2 == 1 and start <= layer < given["depth"] for layer in layers),
        **{name: given.get(name, value) == value for name, value in _FIXED.items()},
        **{name: given.get(name, start) == start for name in ("qknorm_start", "rope_start")},
        "dim_in": given.get("dim_in", 2 * width) == 2 * width,
    }
    return [name for name, fits in possible.items() if not fits]


def _prepared(state: dict[str, torch.Tensor], config: Config, source: str) -> dict[str, torch.Tensor]:
    """The tensors of a file by the names that `DepthAnything3` of this configuration has for them, all of them checked.

    Raises `InputError` for weights of another size, and for names or shapes that are not the released ones.
    """
    _check_size(state, config, source)
    own: dict[str, torch.Tensor] = {}
    for name, tensor in state.items():
        first = own.setdefault(_ALIAS.sub(r"\g<1>0\2", name), tensor)
        if first is not tensor and not torch.equal(first, tensor):
            raise InputError(f"{source} has another tensor as {name} than by its other names, which must be the same.")
    if config.whole:
        return own
    checkpoints.check(own, checkpoints.shapes(DepthAnything3, replace(config, whole=True)), source)
    needed = checkpoints.shapes(DepthAnything3, config)
    return {name: tensor for name, tensor in own.items() if name in needed}


def _check_size(state, config, source):
    token = state.get("model.backbone.pretrained.cls_token")
    width = token.shape[-1] if token is not None and token.ndim else config.embed_dim
    found = re.findall(r"model\.backbone\.pretrained\.blocks\.(\d+)\.", "\n".join(state))
    depth = 1 + max(map(int, found), default=config.depth - 1)
    if (width, depth) != (config.embed_dim, config.depth):
        raise InputError(
            f"{source} holds the weights of {_WIDTHS.get(width, 'another model')} ({width} channels, {depth} blocks), "
            f"and its configuration is of {_WIDTHS.get(config.embed_dim, 'another')} ({config.embed_dim}, "
            f"{config.depth}); {_USE} with the config.json that belongs to it."
        )


DA3 = checkpoints.Architecture("Depth Anything 3", DepthAnything3, configuration, prepare=_prepared, of_dust3r=False)
_LEAN = replace(DA3, config=lambda values, source: replace(configuration(values, source), whole=False))
