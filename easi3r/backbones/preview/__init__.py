"""Classical two-view geometry behind the interface of a network. No weights, CPU, seconds."""

from .network import PreviewNetwork

__all__ = ["PreviewNetwork"]
