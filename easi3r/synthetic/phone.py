"""A clip as a visitor films it: a phone held upright by someone who walks, indoors. With its truth."""

from dataclasses import replace

import numpy as np

from .raycaster import render
from .scenes import SCENES, SECONDS, Scene, dog, loop, swing, walker
from .spoil import by_phone
from .truth import Clip

FOCAL = 1.28  # image widths of a picture 9 wide and 16 high: the main camera of a phone, 26 mm of 35 mm film
EXPOSURE = 1 / 60  # seconds, indoors with the lamps on
STEPS = 1.9  # per second, of whoever films
# Of the hand: (cycles per second, degrees up and down, degrees sideways). Slow drift, breathing, steps, tremor.
SHAKE = ((0.5, 0.6, 0.8), (1.1, 0.3, 0.25), (1.9, 0.2, 0.12), (4.3, 0.07, 0.06), (8.1, 0.03, 0.03))


def filmed(n_frames: int, width: int, height: int, seed: int = 0, seconds: float = SECONDS) -> Clip:
    """A living room where someone walks by with a dog: `render` of it, spoilt as by a phone (`by_phone`).

    width, height: pixels, meant to be 9 to 16. The same arguments give the same clip.
    """
    clip = render(_evening(np.random.default_rng(seed)), n_frames, width, height, seed, seconds)
    return replace(clip, frames=by_phone(clip.frames, clip.timestamps, seed))


def _evening(rng: np.random.Generator) -> Scene:
    room = SCENES["room"](rng)
    still = [solid for solid in room.solids if not callable(solid.place)]
    path, lead = (loop((0.0, 0.0, 1.6 + z), (2.4, 2.4), 0.36, np.pi + start) for z, start in ((0, 0.1), (0.1, 0.52)))
    pace, size = np.array(SHAKE)[:, :1], np.array(SHAKE)[:, 1:]
    phases = rng.uniform(0, 2 * np.pi, (len(SHAKE), 2))

    def camera(t):
        angles = 2 * np.pi * pace * t + phases  # (5,2)
        tilt, pan = np.radians((size * np.sin(angles)).sum(axis=0))
        bob = np.sin(2 * np.pi * STEPS * t)
        eye = np.array([swing(t, 0.75, 0.85), 1.5 + 0.015 * bob, 3.0 - 0.2 * t])
        ahead = np.array([swing(t, -0.15, 0.85), 0.75, -1.0]) - eye
        far = np.linalg.norm(ahead)
        return eye, eye + ahead + far * np.array([pan, tilt, 0.0])

    return Scene(still + walker(path) + dog(lead), camera, FOCAL, EXPOSURE)
