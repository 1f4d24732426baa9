"""The DUSt3R network: layers, heads, model, and the network that systems use."""

from .network import Dust3rNetwork

__all__ = ["Dust3rNetwork"]
