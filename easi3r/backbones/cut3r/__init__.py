"""CUT3R: a recurrent network that takes frames one by one and carries a state along."""

from .network import Cut3rNetwork

__all__ = ["Cut3rNetwork"]
