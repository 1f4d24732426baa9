"""Many clips: `find` them, `work` on each, `runner` here or on a Ray cluster, a `table` of what became of them."""

from .many import reconstruct_all
from .runner import Failure, run
from .table import Row

__all__ = ["Failure", "Row", "reconstruct_all", "run"]
