"""Two-view predictors: `load_backbone` finds one by name."""

from .base import Backbone, Features, MotionEvidence, PairPrediction
from .load import load_backbone

__all__ = [
    "Backbone",
    "Features",
    "MotionEvidence",
    "PairPrediction",
    "load_backbone",
]
