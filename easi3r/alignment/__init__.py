"""From pairwise point maps to one consistent world: cameras, focal, depth, confidence. README.md derives it."""

from .solver import Alignment, solve
from .store import Store

__all__ = ["Alignment", "Store", "solve"]
