"""From motion evidence to masks of moving pixels; the same for every backbone."""

from .masks import estimate_masks

__all__ = [
    "estimate_masks",
]
