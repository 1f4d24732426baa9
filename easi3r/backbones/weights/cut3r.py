"""CUT3R's weights: what its configuration may say, and which files are the published ones.

Source: specification cut3r.md, sections 15 and 16.
"""

import math
from pathlib import Path
from typing import Any

from ...errors import InputError
from ..cut3r.model import Config, RecurrentTransformer
from . import checkpoints

_EXP = ("exp", -math.inf, math.inf)
_DEFAULTS = {  # of the published class, where a configuration leaves them out
    **checkpoints.DUST3R.defaults,
    "output_mode": "pts3d+pose",
    "pose_mode": _EXP,
    "state_pe": "2d",
    "state_size": 768,
    "state_dec_num_heads": 16,
    "local_mem_size": 256,
    "ray_enc_depth": 2,
    "rgb_head": True,
    "pose_head": True,
    "depth_head": False,
    "pose_conf_head": False,
}
_COUNTS = ("state_size", "state_dec_num_heads", "local_mem_size", "ray_enc_depth")
_FIXED = ("output_mode", "pose_mode", "state_pe", "pose_head", "depth_head", "pose_conf_head")
_ALLOWED = {
    **checkpoints.DUST3R.allowed,
    **{name: (_DEFAULTS[name],) for name in _FIXED},
    "rgb_head": (True, False),
}
_UNUSED = ("patch_embed_cls", "landscape_only", "freeze")  # without effect on what the network says
_SIZES = (f"{part}_{size}" for part in ("enc", "dec") for size in ("embed_dim", "depth", "num_heads"))
CUT3R = checkpoints.Architecture(
    "CUT3R",
    RecurrentTransformer,
    Config,
    _DEFAULTS,
    _ALLOWED,
    counts=_COUNTS,
    fields=("rgb_head",),
    calls=frozenset((*_DEFAULTS, *_SIZES, "head_type", *_UNUSED)),
)
# SHA-256 of the authors' files, as others who have fetched them report it
PUBLISHED = {
    "cut3r_512_dpt_4_64.pth": "45f7e98a0a64dbeb54901ae2b878cd8cd125f20a4497316483f0bd6f109f8103",
    "cut3r_224_linear_4.pth": "7a7d83e47f822e040980c8f5aff4c15aa94366d469d3ceae51fa30cc2f62327d",
}


def load(path: str | Path) -> tuple[Any, dict]:
    """The model of a folder or file, see `checkpoints.load`; info also has `origin`: whether the authors made it.

    A file that is named like one of theirs has to be that one. Raises `InputError` if it is not, before anything is
    read from it.
    """
    path = Path(path)
    found = checkpoints.sha256(path) if path.suffix == ".pth" and path.is_file() else None
    wanted = PUBLISHED.get(path.name, found)
    if found != wanted:
        raise InputError(
            f"{path} is not the file that CUT3R's authors published: its SHA-256 is {found} and must be {wanted}. "
            "It was not loaded; delete it and fetch it again."
        )
    model, info = checkpoints.load(path, CUT3R)
    authors = found in PUBLISHED.values()
    return model, {**info, "origin": "as the authors published them" if authors else "not a file of the authors"}
