"""Easi3R: from a video with moving people and things to cameras, motion masks and a 4D reconstruction."""

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import InputError
from .options import Options

if TYPE_CHECKING:
    from .backbones import Backbone, MotionEvidence, PairPrediction, load_backbone
    from .export import load_reconstruction
    from .pipeline import reconstruct
    from .reconstruction import Reconstruction

__version__ = "0.2.0"
__all__ = [
    "Backbone",
    "InputError",
    "MotionEvidence",
    "Options",
    "PairPrediction",
    "Reconstruction",
    "load_backbone",
    "load_reconstruction",
    "reconstruct",
]

_ROOMS = {  # imported when first used: the libraries below take seconds, `easi3r --help` does not need them
    "Backbone": "backbones",
    "MotionEvidence": "backbones",
    "PairPrediction": "backbones",
    "Reconstruction": "reconstruction",
    "load_backbone": "backbones",
    "load_reconstruction": "export",
    "reconstruct": "pipeline",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)
