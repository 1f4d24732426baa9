"""Clips too long to be solved at once: windows that share frames, joined to one world, closed where it meets itself."""

from .run import stages
from .spans import AT_ONCE, spans_of

__all__ = ["AT_ONCE", "spans_of", "stages"]
