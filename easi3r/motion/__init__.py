"""What moves: from attention or from flow to evidence, and from evidence to masks."""

from .evidence import Evidence, Motion
from .masks import cluster, outline, shifted

__all__ = ["Evidence", "Motion", "cluster", "outline", "shifted"]
