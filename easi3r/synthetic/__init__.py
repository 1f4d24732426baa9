"""Small rendered clips with ground truth: textured scenes, moving objects, a moving camera; and predictions of them.

A ray caster in numpy over three shapes (box, ball, rod). It serves the bundled examples, the tests and the alignment
benchmark. Scenes are built in metres with x right, y up, z towards the viewer; what leaves this package follows the
conventions of `easi3r.camera`, with the first camera as the world.
"""

from .block import around_block
from .phone import filmed
from .raycaster import render
from .scenes import SCENES, SECONDS, Scene, Solid
from .spoil import by_phone, compressed, in_low_light
from .textures import TEXTURES
from .trials import TRIALS
from .truth import DEPTH_STEP, Clip, Truth, load_truth, predictions, save_truth

__all__ = [
    "DEPTH_STEP",
    "SCENES",
    "SECONDS",
    "TEXTURES",
    "TRIALS",
    "Clip",
    "Scene",
    "Solid",
    "Truth",
    "around_block",
    "by_phone",
    "compressed",
    "filmed",
    "in_low_light",
    "load_truth",
    "predictions",
    "render",
    "save_truth",
]
