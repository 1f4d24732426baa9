"""Systems: recipes that turn a clip into cameras, depth and what moves. `registry` has the table of all of them."""

from .base import Estimate, Plan, System, SystemCard
from .registry import load_backbone, load_system, register, systems

__all__ = ["Estimate", "Plan", "System", "SystemCard", "load_backbone", "load_system", "register", "systems"]
