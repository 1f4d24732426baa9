"""Several systems on one clip, side by side: `compare` runs them, a `Comparison` holds and writes what they made."""

from .choice import Entry, choose
from .files import Comparison, check_out
from .run import compare, run_all
from .table import Row

__all__ = ["Comparison", "Entry", "Row", "check_out", "choose", "compare", "run_all"]
