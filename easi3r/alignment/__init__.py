"""From pairwise point maps to one consistent world: cameras, focal, depth, confidence."""

from .solver import Alignment, solve

__all__ = ["Alignment", "solve"]
