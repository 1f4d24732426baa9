"""Easi3R: from a video with moving people and things to cameras, motion masks and a 4D reconstruction."""

from .backbones import Backbone, MotionEvidence, PairPrediction, load_backbone
from .errors import InputError
from .export import load_reconstruction
from .options import Options
from .pipeline import reconstruct
from .reconstruction import Reconstruction

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
