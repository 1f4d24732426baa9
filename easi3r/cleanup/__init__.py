"""What to mend in the depth and confidence of any system before they are shown: `apply` does all of it."""

from .apply import apply

__all__ = ["apply"]
