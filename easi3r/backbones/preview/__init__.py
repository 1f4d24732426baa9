"""The embedded default: classical two-view geometry behind the `Backbone` interface. No weights, CPU, seconds."""

from .backbone import PreviewBackbone

__all__ = [
    "PreviewBackbone",
]
