"""Depth Anything 3: depth, confidence and cameras of any number of frames in one pass."""

from .network import Da3Network

__all__ = ["Da3Network"]
