"""Scenes that are hard to reconstruct, for `python -m easi3r.benchmark rendered`; the examples are in `scenes`."""

from dataclasses import replace

import numpy as np

from ..camera import pose
from .scenes import SCENES, SECONDS, Scene, Solid, dog, loop, swing, turn, walker

PAN = np.radians(60) / (SECONDS * 23 / 24)  # radians per second: 60 degrees from the first of 24 frames to the last
LONG_LENS = 0.5 / np.tan(np.radians(10))  # focal length in image widths: 20 degrees from left to right
CROSSING = 0.25 * SECONDS  # seconds, 6 of 24 frames: from one side of the picture to the other
EXPOSURE = 1 / 30  # seconds: the longest of a phone that films 30 frames per second, as it does indoors


def _surroundings(name, rng):
    """A `Scene` of the examples without what moves in it."""
    scene = SCENES[name](rng)
    return replace(scene, solids=[solid for solid in scene.solids if not callable(solid.place)])


def _pan(rng):
    """A street: the camera turns by 60 degrees about its own centre, after someone who walks by."""
    street, side = _surroundings("street", rng), rng.choice([-1, 1])
    path = loop((-0.6 * side, 0.0, -4.3), (side * 3.4, 0.3), 0.45, 0.0)
    eye = np.array([0.0, 1.5, -0.6])

    def camera(t):
        angle = side * PAN * (t - SECONDS * 23 / 48)
        return eye, eye + [np.sin(angle), -0.05, -np.cos(angle)]

    return replace(street, solids=street.solids + walker(path), camera=camera)


def _telephoto(rng):
    """A street through a long lens: a horse fills the picture, and whoever films walks beside it."""
    street, side = _surroundings("street", rng), rng.choice([-1, 1])
    speed = side * rng.uniform(0.9, 1.1)  # metres per second of the camera; the horse is a little faster
    path = loop((0.0, 0.0, -2.2), (side * 8.0, 0.2), 0.15, 0.0)

    def camera(t):
        x = speed * (t - SECONDS / 2)
        return (x, 1.45 + swing(t, 0.02, 11.0), 4.5), (x + side * 0.15, 1.2, -2.0)

    return Scene(street.solids + _grown(dog(lambda t: np.eye(4), 5.0), 3.0, path), camera, LONG_LENS)


def _grown(parts, scale, frame):
    """The parts of a thing that moves about its own origin, `scale` times as large and carried along `frame`."""

    def carried(part):
        def place(t):
            own = part.at(t)
            return frame(t) @ pose(own[:3, :3], scale * own[:3, 3])

        return replace(part, place=place, size=tuple(scale * s for s in part.size))

    return [carried(part) for part in parts]


def _blur(rng):
    """A living room: the camera drifts, and a ball flies through the picture within a quarter of the time."""
    room, side = _surroundings("room", rng), rng.choice([-1, 1])
    speed = side * 4.4 / CROSSING  # metres per second; the picture is 4.3 to 4.7 m wide where the ball is

    def flight(t):
        since = t - SECONDS / 2
        place = pose(np.eye(3), [speed * since, 1.35 - 4.9 * since**2, -0.5])
        return place @ turn("z", -6.0 * side * t)

    def camera(t):
        return room.camera(SECONDS / 2 + 0.4 * (t - SECONDS / 2))

    ball = Solid("ball", (0.15,) * 3, flight, "beachball", None, False)
    return replace(room, solids=[*room.solids, ball], camera=camera, exposure=EXPOSURE)


TRIALS = {"pan": _pan, "telephoto": _telephoto, "blur": _blur}  # name -> builder(rng) -> Scene
