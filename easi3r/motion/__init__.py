"""What moves: from attention or from flow to evidence, and from evidence to masks."""

from .clusters import cluster
from .evidence import Evidence, Motion
from .masks import outline, outline_pixels, shifted
from .volume import Volume

__all__ = ["Evidence", "Motion", "Volume", "cluster", "outline", "outline_pixels", "shifted"]
