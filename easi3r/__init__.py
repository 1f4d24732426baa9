"""Easi3R: from a video with moving people and things to cameras, motion masks and a 4D reconstruction."""

from .errors import InputError
from .options import Options
