"""What moves: from attention or from flow to evidence, and from evidence to masks."""

from .clusters import cluster
from .evidence import Evidence, Motion
from .masks import outline, shifted

__all__ = ["Evidence", "Motion", "cluster", "outline", "shifted"]
