"""Weights from files: configuration, names and shapes checked, nothing in a file ever executed.

Two layouts are read: a folder with `config.json` and `model.safetensors` (what a hub repository holds; a path to the
safetensors file does too), and the authors' `.pth`, which holds the constructor call as a string and the state dict.
What fits DUSt3R and CUT3R is said by their `Architecture`s.
"""

import argparse
import ast
import collections
import functools
import hashlib
import json
import math
import pickle
import re
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from ...errors import InputError
from ..dust3r.heads import HEADS
from ..dust3r.model import Config, TwoViewTransformer

_FILES = "config.json and model.safetensors"
_SIZES = ("enc_embed_dim", "enc_depth", "enc_num_heads", "dec_embed_dim", "dec_depth", "dec_num_heads")
_DEFAULTS = {  # of the published class, where a configuration leaves them out
    "patch_size": 16,
    "mlp_ratio": 4,
    "img_size": 512,
    "pos_embed": "RoPE100",
    "output_mode": "pts3d",
    "depth_mode": ("exp", -math.inf, math.inf),
    "conf_mode": ("exp", 1, math.inf),
}
_ALLOWED = {
    "head_type": tuple(HEADS),
    **{name: (_DEFAULTS[name],) for name in ("output_mode", "depth_mode", "conf_mode")},
}


class _Inert:
    """Takes the place of a class of OmegaConf: keeps what was pickled of it and can do nothing."""

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state)


_HARMLESS = [  # what files may name beside tensors: DUSt3R's arguments, and CUT3R's, a tree of OmegaConf
    argparse.Namespace,
    *((_Inert, f"omegaconf.{name}") for name in ("dictconfig.DictConfig", "listconfig.ListConfig", "nodes.AnyNode")),
    *((_Inert, f"omegaconf.base.{name}") for name in ("ContainerMetadata", "Metadata")),
    (object, "typing.Any"),
    *(collections.defaultdict, dict, list, int),
]


@dataclass(frozen=True)
class Architecture:
    """A kind of network as its files describe it."""

    name: str  # in messages
    model: Any  # its class, made from a configuration
    config: Callable[..., Any]  # its sizes
    defaults: dict = field(default_factory=lambda: _DEFAULTS)  # of arguments that a configuration may leave out
    allowed: dict[str, tuple] = field(default_factory=lambda: _ALLOWED)  # what arguments may be
    counts: tuple[str, ...] = ()  # more sizes than DUSt3R has, fields of `config` of the same names
    fields: tuple[str, ...] = ()  # more fields of `config`, taken as they are
    calls: frozenset[str] | None = None  # all arguments that a constructor call may have; None: any
    of_dust3r: bool = True  # its configuration is like DUSt3R's; else `config` makes one of (values, source)
    prepare: Callable[[dict, Any, str], dict] | None = None  # (state dict, configuration, source)


DUST3R = Architecture("DUSt3R", TwoViewTransformer, Config)
DAS3R = Architecture(  # its mask heads read the layers that DPT heads do
    "DAS3R",
    TwoViewTransformer,
    functools.partial(Config, mask_heads=True),
    {**_DEFAULTS, "mask_mode": ("sigmoid", 0, 1)},
    {**_ALLOWED, "mask_mode": (("sigmoid", 0, 1),), "head_type": ("dpt",)},
)


def load(path: str | Path, architecture: Architecture = DUST3R) -> tuple[Any, dict]:
    """The model of a folder, `.safetensors` or `.pth` file: (the architecture's model in float32, info).

    info: weights (file or folder name), hash (first 12 hex digits
    of the file's SHA-256). Raises `InputError` for a file that is missing, damaged, of another architecture, or whose
    parameters do not fit it.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "model.safetensors"
    if not path.is_file():
        raise InputError(f"There are no weights at {path}; give a folder with {_FILES}, or a file.")
    if path.suffix == ".safetensors":
        values, state = _read_json(path.with_name("config.json")), _read_safetensors(path)
    elif path.suffix in (".pth", ".pt"):
        values, state = _read_pth(path)
        _check_arguments(values, architecture, path.name)
    else:
        raise InputError(f"{path.name} cannot be read as weights; use a .safetensors or .pth file.")
    model = build(configuration(values, path.name, architecture), state, path.name, architecture)
    return model, {"weights": path.parent.name if path.suffix == ".safetensors" else path.name, "hash": file_hash(path)}


def _check_arguments(values, architecture, source):
    unknown = [name for name in values if architecture.calls is not None and name not in architecture.calls]
    if unknown:
        raise InputError(f"The constructor call in {source} has {_listed(unknown)}, which {architecture.name} has not.")


def configuration(values: dict, source: str, architecture: Architecture = DUST3R) -> Any:
    """The architecture's `config` from constructor arguments as the published models name them, a dict.

    DUSt3R's that name a mask_mode are DAS3R's. Raises `InputError`.
    """
    if not architecture.of_dust3r:
        return architecture.config(values, source)
    if architecture is DUST3R and "mask_mode" in values:
        architecture = DAS3R
    missing = [name for name in (*_SIZES, "head_type") if name not in values]
    if missing:
        kind = architecture.name
        raise InputError(f"The configuration of {source} lacks {_listed(missing)}; it is not that of a {kind} model.")
    values = {**architecture.defaults, **{k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}}
    counts = (*_SIZES, *architecture.counts)
    wrong = [name for name in (*counts, "patch_size", "mlp_ratio") if not is_count(values[name])]
    wrong += [name for name, allowed in architecture.allowed.items() if values[name] not in allowed]
    sides = values["img_size"] if isinstance(values["img_size"], tuple) else (values["img_size"],)
    if not sides or not all(map(is_count, sides)):
        wrong.append("img_size")
    rope = re.fullmatch(r"RoPE(\d+)", str(values["pos_embed"]))
    if rope is None:
        wrong.append("pos_embed")
    if not wrong:  # rotary positions turn a quarter of a head's channels at a time
        heads = {name: "enc_embed_dim" if name[:3] == "enc" else "dec_embed_dim" for name in counts if "heads" in name}
        wrong = list(dict.fromkeys(width for name, width in heads.items() if values[width] % (4 * values[name])))
    if wrong or rope is None:
        said = _listed([f"{name} = {values[name]!r}" for name in wrong])
        raise InputError(f"The configuration of {source} has {said}, which this network does not know.")
    return architecture.config(
        **{name: int(values[name]) for name in counts},
        **{name: values[name] for name in architecture.fields},
        head_type=values["head_type"],
        max_side=int(max(sides)),
        patch=int(values["patch_size"]),
        mlp_ratio=int(values["mlp_ratio"]),
        rope_base=float(rope[1]),
    )


def is_count(value: Any) -> bool:
    """Whether it is a whole number over 0, of whatever type."""
    return isinstance(value, (int, float)) and not isinstance(value, bool) and value >= 1 and value % 1 == 0


def build(
    config: Config, state: dict, source: str = "The checkpoint", architecture: Architecture = DUST3R
) -> torch.nn.Module:
    """A model with the tensors of a state dict, cast to float32. Raises `InputError` if they do not fit.

    Completed first: `dec_blocks2` is a copy of `dec_blocks` where a file has one decoder only; a DPT head's four
    convolutions have two names, of which a file may hold either, or both if they are the same.
    """
    with torch.device("meta"):
        model = architecture.model(config)
    expected = _shapes_of(model)
    if architecture.prepare is not None:
        state = architecture.prepare(state, config, source)
    state = _complete(state, expected)
    check(state, expected, source)
    for name in state:
        if (twin := _twin(name)) in state and not torch.equal(state[name].float(), state[twin].float()):
            raise InputError(f"{source} has different tensors as {name} and {twin}, which must be the same.")
    model.load_state_dict({name: tensor.float() for name, tensor in state.items()}, assign=True)
    return model.requires_grad_(False)


def shapes(model: Any, config: Any) -> dict[str, tuple[int, ...]]:
    """Name -> shape of every tensor of a class of models with a configuration; takes no memory."""
    with torch.device("meta"):
        return _shapes_of(model(config))


def _shapes_of(model):
    return {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}


def check(state: dict, expected: dict[str, tuple[int, ...]], source: str) -> None:
    """Raise `InputError` unless the tensors of a state dict have these names and shapes."""
    missing = [name for name in expected if name not in state]
    superfluous = [name for name in state if name not in expected]
    misshapen = [
        f"{name} {tuple(state[name].shape)} instead of {shape}"
        for name, shape in expected.items()
        if name in state and tuple(state[name].shape) != shape
    ]
    kinds = (("lacks", missing), ("has unknown", superfluous), ("has misshapen", misshapen))
    said = [f"{verb} {_listed(names)}" for verb, names in kinds if names]
    if said:
        raise InputError(f"{source} does not fit the network: it {'; it '.join(said)}.")


def _complete(state, expected):
    if all(name.startswith("module.") for name in state):  # as saved from training on several GPUs
        state = {name.removeprefix("module."): tensor for name, tensor in state.items()}
    state = dict(state)
    if not any(name.startswith("dec_blocks2.") for name in state):
        copied = {name: name.replace("dec_blocks2.", "dec_blocks.", 1) for name in expected if "dec_blocks2." in name}
        state |= {name: state[first] for name, first in copied.items() if first in state}
    for name in list(state):
        twin = _twin(name)
        if twin in expected:
            state.setdefault(twin, state[name])
    return state


def _twin(name):
    """The other name of one of a DPT head's four convolutions; None of anything else."""
    numbered = re.fullmatch(r"(.*\.scratch\.)layer([1-4])_rn(\..*)", name)
    listed = re.fullmatch(r"(.*\.scratch\.)layer_rn\.([0-3])(\..*)", name)
    if numbered:
        return f"{numbered[1]}layer_rn.{int(numbered[2]) - 1}{numbered[3]}"
    return f"{listed[1]}layer{int(listed[2]) + 1}_rn{listed[3]}" if listed else None


def _read_json(path):
    if not path.is_file():
        raise InputError(f"There is no config.json next to the weights in {path.parent}; it gives the network's size.")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))  # knows Infinity and -Infinity
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}.") from None
    if not isinstance(values, dict):
        raise InputError(f"{path} is no configuration; it must hold named values.")
    return values


def _read_safetensors(path):
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or no safetensors file ({error}); fetch it again.") from None


def _read_pth(path):
    """Constructor arguments and state dict of the authors' format; torch's safe loader builds tensors only."""
    try:
        with torch.serialization.safe_globals(_HARMLESS):
            held = torch.load(path, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(path))
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, TypeError) as error:
        foreign = re.search(r"Unsupported (?:global|class)[^\n]*?(\w[\w.]*) was not", str(error))
        if foreign:
            said = f"{path.name} holds a {foreign[1]}, not only numbers; it was not loaded, because it could run code."
            raise InputError(said) from None
        raise InputError(f"{path.name} is damaged or no PyTorch checkpoint; fetch it again.") from None
    arguments = held.get("args") if isinstance(held, dict) else None
    state = held.get("model") if isinstance(held, dict) else None
    call = _call_of(arguments)
    if not isinstance(state, dict) or not isinstance(call, str):
        raise InputError(f"{path.name} lacks 'model' (the state dict) or 'args.model' (the constructor call).")
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise InputError(f"{path.name} holds something else than tensors in its state dict.")
    return constructor_arguments(call, path.name), state


def _call_of(arguments):
    """The constructor call that a file holds: `model` of a namespace (DUSt3R) or of a tree of OmegaConf (CUT3R)."""
    if isinstance(arguments, _Inert):
        content = getattr(arguments, "_content", None)
        return getattr(content.get("model"), "_val", None) if isinstance(content, dict) else None
    return getattr(arguments, "model", None)


def constructor_arguments(call: str, source: str) -> dict:
    """Keyword values of a constructor call in a string, read without running it. Raises `InputError`.

    A call whose only argument is a call, as of a model with its configuration, is that call.
    """
    refused = InputError(f"The constructor call in {source} cannot be read: {call[:80]!r}.")
    try:
        node = ast.parse(call.strip(), mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise refused from None
    if isinstance(node, ast.Call) and len(node.args) == 1 and not node.keywords:
        node = node.args[0]
    if not isinstance(node, ast.Call) or node.args or any(k.arg is None for k in node.keywords):
        raise refused
    values = {}
    for keyword in node.keywords:
        try:
            values[keyword.arg] = _literal(keyword.value)
        except ValueError:
            raise refused from None
    return values


def _literal(node):
    """Value of a literal, `inf` and -inf included. Raises ValueError for anything else."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name) and node.id == "inf":
        return math.inf
    if isinstance(node, (ast.Tuple, ast.List)):
        return tuple(_literal(element) for element in node.elts)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _literal(node.operand)
        if isinstance(value, (int, float)):
            return -value
    if isinstance(node, ast.Attribute) and node.attr == "inf":  # float's or math's
        return math.inf
    raise ValueError


def file_hash(path: str | Path) -> str:
    """First 12 hex digits of a file's SHA-256. The hub's cache names a large file by it: that saves reading it."""
    stored = Path(path).resolve().name
    return (stored if re.fullmatch(r"[0-9a-f]{64}", stored) else sha256(path))[:12]


def sha256(path: str | Path) -> str:
    """The SHA-256 of a file, 64 hex digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _listed(names, most=3):
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
