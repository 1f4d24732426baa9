"""The DUSt3R network: layers, heads, model, checkpoints, and the backbone made of them."""

from .backbone import Dust3rBackbone

__all__ = [
    "Dust3rBackbone",
]
