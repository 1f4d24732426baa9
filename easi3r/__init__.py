"""Easi3R: from a video with moving people and things to cameras, motion masks and a 4D reconstruction."""

from importlib import import_module
from typing import TYPE_CHECKING

from .errors import InputError
from .options import Options

if TYPE_CHECKING:
    from .batch import reconstruct_all
    from .comparison import Comparison, compare
    from .export import load_reconstruction
    from .motion.refine import refine_masks
    from .pipeline import reconstruct
    from .reconstruction import Reconstruction
    from .system import SystemCard, load_backbone, load_system, systems

__version__ = "0.2.0"
__all__ = [
    "Comparison",
    "InputError",
    "Options",
    "Reconstruction",
    "SystemCard",
    "compare",
    "load_backbone",
    "load_reconstruction",
    "load_system",
    "reconstruct",
    "reconstruct_all",
    "refine_masks",
    "systems",
]

_ROOMS = {  # imported when first used: the libraries below take seconds, `easi3r --help` does not need them
    "Comparison": "comparison",
    "Reconstruction": "reconstruction",
    "SystemCard": "system",
    "compare": "comparison",
    "load_backbone": "system",
    "load_reconstruction": "export",
    "load_system": "system",
    "reconstruct": "pipeline",
    "reconstruct_all": "batch",
    "refine_masks": "motion.refine",
    "systems": "system",
}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_ROOMS[name]}", __name__), name)
