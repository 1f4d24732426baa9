"""What lies behind the things that move: taken from the frames that show it, through the solved cameras."""

from .paint import uncovered

__all__ = ["uncovered"]
