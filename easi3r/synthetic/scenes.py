"""The scenes of the examples: solids that stand or move, and the way of the camera."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from ..camera import pose

SECONDS = 2.5  # length of a clip unless told otherwise; the motions below are paced for it


@dataclass(frozen=True)
class Solid:
    """One shape, scaled by `size`: box, ball, or rod (an upright cylinder)."""

    shape: str
    size: tuple  # half extents along its own x, y, z, metres
    place: np.ndarray | Callable  # (4, 4) own frame -> scene, or a function of the time in seconds; then it moves
    texture: str  # a name in TEXTURES, see `textures.sample`
    tile: float | None = 1.0  # metres covered by the texture; None = once per face
    contact: bool = True  # darkens the ground around its foot

    def at(self, seconds: float) -> np.ndarray:
        return self.place(seconds) if callable(self.place) else self.place


@dataclass(frozen=True)
class Scene:
    solids: list
    camera: Callable  # seconds -> (eye (3,), target (3,)) in scene metres
    focal: float  # in image widths
    exposure: float = 0.0  # seconds that the shutter is open; 0: no motion blur


def turn(axis: str, angle: float) -> np.ndarray:
    """(4, 4) rotation about one axis, radians."""
    vector = np.zeros(3)
    vector["xyz".index(axis)] = angle
    return pose(cv2.Rodrigues(vector)[0], np.zeros(3))


def _move(x, y, z):
    return pose(np.eye(3), [x, y, z])


def _box(foot, size, texture, tile=1.0, yaw=0.0, contact=True, shape="box"):
    """A standing thing: centre of its underside, full size (width, height, depth)."""
    x, y, z = foot
    half = tuple(s / 2 for s in size)
    return Solid(shape, half, _move(x, y + half[1], z) @ turn("y", yaw), texture, tile, contact)


def _rod(foot, radius, height, texture, tile=1.0):
    return _box(foot, (2 * radius, height, 2 * radius), texture, tile, shape="rod")


def _ball(foot, radius, texture, tile=None, stretch=(1.0, 1.0, 1.0)):
    return _box(foot, tuple(2 * radius * s for s in stretch), texture, tile, contact=False, shape="ball")


def _part(frame, offset, size, texture, tile=None, shape="box", contact=False):
    """A piece of a moving thing: `frame` seconds -> (4, 4), the piece's constant (4, 4) in it, full size."""
    return Solid(shape, tuple(s / 2 for s in size), lambda t: frame(t) @ offset, texture, tile, contact)


def loop(centre: tuple, radii: tuple, pace: float, start: float) -> Callable[[float], np.ndarray]:
    """seconds -> frame (4, 4) that rides an ellipse on the ground, facing along +z; `pace` in radians per second."""

    def frame(seconds):
        angle = start + pace * (seconds - SECONDS / 2)
        x, z = radii[0] * np.sin(angle), radii[1] * np.cos(angle)
        along = np.sign(pace) * np.array([radii[0] * np.cos(angle), -radii[1] * np.sin(angle)])
        return _move(centre[0] + x, centre[1], centre[2] + z) @ turn("y", np.arctan2(*along))

    return frame


def swing(seconds: float, size: float, pace: float) -> float:
    """Smooth to and fro, fastest in the middle of a clip."""
    return size * np.sin(pace * (seconds - SECONDS / 2))


def _room(rng):
    """A living room: the camera arcs, a ball rolls one way, a parcel slides the other."""
    reach, tilt = rng.uniform(1.0, 1.3), rng.uniform(-0.1, 0.1)
    roll = loop((0.1, 0.0, 0.0), (1.8, 0.35), 0.62, 0.0)
    slide = loop((0.0, 0.0, -0.9), (1.6, 0.25), -0.65, 0.0)
    ball = Solid(
        "ball",
        (0.31,) * 3,
        lambda t: roll(t) @ _move(0, 0.31, 0) @ turn("x", 3.6 * t) @ turn("z", 0.9),
        "beachball",
        None,
    )
    solids = [
        _box((0, -0.05, 0), (8, 0.05, 9), "planks", 2.2, contact=False),
        _box((0, 2.8, 0), (8, 0.1, 9), "plaster", 3.0, contact=False),
        _box((0, 0, -2.9), (8, 2.8, 0.2), "wallpaper", 2.4),
        _box((0, 0, 4.4), (8, 2.8, 0.2), "plaster", 2.5),
        _box((-3.2, 0, 0), (0.2, 2.8, 9), "plaster", 2.6),
        _box((3.2, 0, 0), (0.2, 2.8, 9), "plaster", 2.6),
        _box((0, 0, -0.2), (3.4, 0.02, 2.4), "rug", None, contact=False),
        _box((-0.2, 0, -2.35), (2.1, 0.42, 0.8), "fabric"),
        _box((-0.2, 0.42, -2.62), (2.1, 0.45, 0.25), "fabric"),
        _box((-1.2, 0, -2.3), (0.22, 0.62, 0.9), "fabric", 0.8),
        _box((0.8, 0, -2.3), (0.22, 0.62, 0.9), "fabric", 0.8),
        _box((-0.75, 0.42, -2.35), (0.42, 0.4, 0.16), "cushion", None, 0.3),
        _box((0.35, 0.42, -2.35), (0.42, 0.4, 0.16), "picture", None, -0.25),
        _box((-2.3, 0, -2.55), (1.0, 2.0, 0.4), "books", 1.3),
        _box((-2.3, 2.0, -2.55), (1.1, 0.06, 0.5), "wood"),
        _box((2.15, 0, -2.45), (1.2, 0.75, 0.5), "wood", 0.8),
        _box((1.95, 0.75, -2.45), (0.4, 0.3, 0.25), "parcel", None, 0.4),
        _rod((2.5, 0.75, -2.45), 0.1, 0.22, "clay", 0.5),
        _ball((2.5, 0.9, -2.45), 0.24, "leaves"),
        _box((-0.2, 1.25, -2.78), (1.2, 0.85, 0.05), "picture", None),
        _box((2.1, 1.45, -2.78), (0.7, 0.9, 0.05), "poster", None),
        _box((-3.08, 1.1, -0.9), (0.05, 0.9, 1.3), "poster", None),
        _box((3.08, 1.0, -0.8), (0.05, 1.1, 1.5), "picture", None),
        _rod((1.3, 0, -2.4), 0.15, 0.04, "metal"),
        _rod((1.3, 0, -2.4), 0.025, 1.5, "metal"),
        _rod((1.3, 1.4, -2.4), 0.2, 0.32, "lamp"),
        _rod((-2.6, 0, -1.2), 0.2, 0.4, "clay"),
        _ball((-2.6, 0.35, -1.2), 0.45, "leaves", None, (1, 1.2, 1)),
        _box((2.6, 0, -1.0), (0.6, 0.45, 0.6), "fabric", 0.9, 0.3),
        ball,
        _part(slide, _move(0, 0.27, 0) @ turn("y", 0.5), (0.62, 0.54, 0.5), "parcel", contact=True),
    ]

    def camera(t):
        return (
            (swing(t, reach, 0.75), 1.5 + swing(t, tilt, 1.3), 3.2 - 0.3 * np.cos(0.75 * (t - SECONDS / 2))),
            (swing(t, -0.25, 0.75), 0.7, -1.0),
        )

    return Scene(solids, camera, rng.uniform(0.82, 0.95))


def walker(frame: Callable[[float], np.ndarray], pace: float = 7.0) -> list[Solid]:
    """A figure of boxes that walks along `frame`: legs and arms swing, knees and elbows bend."""

    def limb(hip, side, lower_bend, stride, length, width, upper, lower):
        def top(t):
            return frame(t) @ _move(*hip) @ turn("x", side * stride * np.sin(pace * t))

        def joint(t):
            bend = lower_bend * (0.55 + 0.45 * np.cos(pace * t + (np.pi if side > 0 else 0)))
            return top(t) @ _move(0, -length, 0) @ turn("x", bend)

        foot = _part(joint, _move(0, -length, 0.05), (width, 0.09, 1.6 * width), "rubber", contact=True)
        hand = _part(joint, _move(0, -length - 0.04, 0), (0.09, 0.12, 0.1), "skin", shape="ball")
        end = foot if upper == "denim" else hand
        return [
            _part(top, _move(0, -length / 2, 0), (width, length, width), upper),
            _part(joint, _move(0, -length / 2, 0), (0.85 * width, length, 0.85 * width), lower),
            end,
        ]

    body = [
        _part(frame, _move(0, 1.17, 0), (0.46, 0.62, 0.27), "jacket"),
        _part(frame, _move(0, 1.62, 0.02), (0.23, 0.28, 0.25), "skin", shape="ball"),
        _part(frame, _move(0, 1.68, -0.02), (0.25, 0.24, 0.25), "hair", shape="ball"),
        _part(frame, _move(0, 1.2, -0.2), (0.34, 0.46, 0.18), "cushion"),
    ]
    for side in (-1, 1):
        body += limb((side * 0.12, 0.86, 0), side, 0.6, 0.5, 0.41, 0.18, "denim", "denim")
        body += limb((side * 0.3, 1.42, 0), -side, -0.5, 0.5, 0.3, 0.13, "jacket", "jacket")
    return body


def dog(frame: Callable[[float], np.ndarray], pace: float = 11.0) -> list[Solid]:
    """A dog of boxes, 0.6 m high, that runs along `frame`."""

    def leg(x, z, side):
        def hip(t):
            return frame(t) @ _move(x, 0.3, z) @ turn("x", side * 0.45 * np.sin(pace * t))

        return _part(hip, _move(0, -0.15, 0), (0.08, 0.3, 0.09), "fur", contact=True)

    return [
        _part(frame, _move(0, 0.4, 0), (0.24, 0.26, 0.6), "fur"),
        _part(frame, _move(0, 0.57, 0.37), (0.2, 0.22, 0.26), "fur"),
        _part(frame, _move(0, 0.52, 0.54), (0.11, 0.11, 0.14), "hair"),
        _part(frame, _move(0, 0.56, -0.34) @ turn("x", 0.8), (0.06, 0.28, 0.06), "fur"),
        leg(-0.09, 0.22, 1),
        leg(0.09, 0.22, -1),
        leg(-0.09, -0.22, -1),
        leg(0.09, -0.22, 1),
    ]


def _street(rng):
    """A street: the camera drifts sideways and forwards while someone crosses the picture with a dog."""
    side = rng.choice([-1, 1])  # the way they walk and the camera drifts
    drift = side * rng.uniform(1.3, 1.7)
    path = loop((0.0, 0.0, -4.2), (side * 3.0, 3.0), 0.45, 0.0)
    lead = loop((0.0, 0.0, -4.2), (side * 3.4, 3.0), 0.45, 0.33)
    solids = [
        Solid("ball", (70.0,) * 3, _move(0, 0, 0), "sky", 40.0, False),
        _box((0, -0.06, 0), (90, 0.06, 90), "asphalt", 2.5, contact=False),
        _box((0, 0, -6.6), (40, 0.09, 3.2), "paving", 2.0, contact=False),
        _box((-7.6, 0, -10.2), (7.2, 7.0, 4), "brick_sand", 4.0),
        _box((-1.2, 0, -10.4), (5.6, 3.9, 4), "brick_red", 4.2),
        _box((8.2, 0, -10.0), (7.6, 6.6, 4), "brick_blue", 4.4),
        _box((4.5, 0, -30), (16, 4.6, 4), "brick_sand", 5.0),
        _box((-1.2, 3.9, -10.2), (5.9, 0.25, 4.6), "plaster"),
        _box((-7.6, 7.0, -10.2), (7.5, 0.3, 4.5), "plaster"),
        _box((-1.6, 0.09, -8.35), (3.4, 2.3, 0.15), "shop", 2.6),
        _box((-1.6, 2.3, -8.0), (3.8, 0.12, 1.1), "awning", 1.6),
        _box((6.4, 0.09, -7.95), (1.2, 2.3, 0.15), "wood", 1.5),
        _box((9.6, 0.09, -7.9), (3.0, 2.2, 0.2), "shop", 2.2),
        _box((-5.8, 0.09, -8.1), (1.1, 2.2, 0.2), "wood", 1.5),
        _rod((2.6, 0, -6.1), 0.13, 2.2, "wood"),
        _ball((2.6, 1.8, -6.1), 1.0, "leaves", 2.4),
        _ball((3.1, 2.5, -6.3), 0.75, "leaves", 2.4),
        _ball((2.0, 2.6, -5.9), 0.7, "leaves", 2.4),
        _rod((-4.3, 0, -6.0), 0.06, 3.6, "metal"),
        _ball((-4.3, 3.5, -6.0), 0.2, "lamp"),
        _box((-0.6, 0.45, -6.6), (1.6, 0.08, 0.5), "wood", 0.8),
        _box((-0.6, 0.6, -6.85), (1.6, 0.4, 0.07), "wood", 0.8),
        _box((-1.2, 0.09, -6.6), (0.1, 0.36, 0.45), "metal"),
        _box((0.0, 0.09, -6.6), (0.1, 0.36, 0.45), "metal"),
        _rod((0.7, 0.09, -6.2), 0.2, 0.8, "paint"),
        _rod((-2.4, 0.09, -5.5), 0.13, 0.65, "fruit"),
        _ball((-2.4, 0.66, -5.5), 0.13, "fruit"),
        _box((4.6, 0.25, -4.9), (3.6, 0.6, 1.5), "paint", 1.5),
        _box((4.7, 0.85, -4.9), (2.0, 0.5, 1.35), "glass", 1.2),
        _box((4.7, 1.35, -4.9), (2.0, 0.06, 1.4), "paint", 1.0),
    ]
    for x in (3.45, 5.75):
        wheel = _move(x, 0.33, -4.16) @ turn("x", np.pi / 2)
        solids.append(Solid("rod", (0.33, 0.1, 0.33), wheel, "rubber", 0.7, False))
    solids += walker(path) + dog(lead)

    def camera(t):
        return (
            (swing(t, drift, 0.55), 1.55, 2.3 - swing(t, 0.8, 0.6)),
            (swing(t, 0.35 * drift, 0.55) + 0.3, 1.12, -4.0),
        )

    return Scene(solids, camera, rng.uniform(0.82, 0.95))


def _orbit(rng):
    """A table in a room: the camera goes round it, a toy train goes round the other way."""
    sweep, start = rng.uniform(0.32, 0.4), rng.uniform(-0.4, 0.4)
    train = [loop((0, 0.8, 0), (0.8, 0.8), 0.75, start + 0.1 - gap) for gap in (0.0, 0.46, 0.92)]
    solids = [
        _box((0, -0.05, 0), (9, 0.05, 9), "planks", 2.0, contact=False),
        _box((0, 3.0, 0), (9, 0.1, 9), "plaster", 2.5),
        _box((0, 0, -3.6), (9, 3, 0.2), "wallpaper", 2.2),
        _box((0, 0, 3.6), (9, 3, 0.2), "wallpaper", 2.4),
        _box((-3.6, 0, 0), (0.2, 3, 9), "plaster", 2.2),
        _box((3.6, 0, 0), (0.2, 3, 9), "plaster", 2.2),
        _rod((0, 0, 0), 0.14, 0.78, "wood"),
        _rod((0, 0, 0), 0.5, 0.06, "wood"),
        _box((0, 0.72, 0), (2.5, 0.06, 2.5), "wood", 1.1),
        _box((0, 0.78, 0), (2.3, 0.02, 2.3), "cloth", 1.15),
        _box((-0.12, 0.8, -0.2), (0.42, 0.07, 0.3), "books", 0.6, 0.3),
        _box((-0.1, 0.87, -0.2), (0.36, 0.06, 0.28), "shop", 0.5, -0.1),
        _box((-0.12, 0.93, -0.21), (0.3, 0.05, 0.24), "rug", 0.5, 0.5),
        _ball((-0.12, 0.98, -0.2), 0.08, "fruit"),
        _rod((0.28, 0.8, -0.12), 0.1, 0.26, "mug", 0.5),
        _ball((0.28, 1.02, -0.12), 0.19, "leaves"),
        _rod((0.16, 0.8, 0.26), 0.07, 0.15, "mug", 0.4),
        _ball((-0.28, 0.8, 0.22), 0.09, "fruit"),
        _ball((-0.13, 0.8, 0.3), 0.075, "beachball"),
        _box((0.36, 0.8, 0.16), (0.14, 0.14, 0.14), "engine", None, 0.6),
        _box((0, 0, -3.2), (2.2, 0.8, 0.5), "wood", 0.9),
        _box((-0.5, 0.8, -3.2), (0.8, 0.5, 0.3), "books", 0.9),
        _box((0.7, 0.8, -3.2), (0.4, 0.4, 0.3), "parcel", None, 0.3),
        _box((0.2, 1.7, -3.48), (1.5, 0.9, 0.04), "picture", None),
        _box((-2.4, 0, -3.1), (1.0, 2.0, 0.5), "books", 1.2),
        _rod((2.4, 0, -2.9), 0.22, 0.45, "clay"),
        _ball((2.4, 0.4, -2.9), 0.5, "leaves", None, (1, 1.3, 1)),
        _box((3.45, 1.2, -0.6), (0.04, 1.0, 1.4), "poster", None),
        _box((-3.45, 1.2, -0.6), (0.04, 1.0, 1.6), "picture", None),
        _box((1.7, 0, -1.7), (0.45, 0.5, 0.45), "fabric", 0.7, 0.5),
        _box((-1.8, 0, -1.6), (0.45, 0.5, 0.45), "cushion", None, 0.2),
        _box((0, 0.0, 0), (4.4, 0.015, 4.2), "rug", 2.4, contact=False),
    ]
    for k, frame in enumerate(train):
        solids += _wagon(frame, "engine" if k == 0 else "wagon", k == 0)

    def camera(t):
        angle = swing(t, 1.0, sweep) + 0.1
        return (2.4 * np.sin(angle), 1.75 + swing(t, 0.12, 1.1), 2.4 * np.cos(angle)), (0.0, 0.85, 0.0)

    return Scene(solids, camera, rng.uniform(0.88, 1.0))


def _wagon(frame, texture, is_engine):
    """A wooden toy wagon, 0.32 m long; the engine has a boiler and a cabin."""
    parts = [_part(frame, _move(0, 0.08, 0), (0.2, 0.06, 0.33), texture, contact=True)]
    if is_engine:
        parts += [
            _part(frame, _move(0, 0.19, 0.06) @ turn("x", np.pi / 2), (0.15, 0.2, 0.15), texture, shape="rod"),
            _part(frame, _move(0, 0.22, -0.1), (0.19, 0.24, 0.13), texture),
            _part(frame, _move(0, 0.35, -0.1), (0.23, 0.03, 0.17), "wood"),
            _part(frame, _move(0, 0.29, 0.11), (0.06, 0.1, 0.06), "rubber", shape="rod"),
        ]
    else:
        parts += [_part(frame, _move(0, 0.18, 0), (0.19, 0.16, 0.29), texture)]
    for x in (-0.1, 0.1):
        for z in (-0.1, 0.1):
            wheel = _move(x, 0.055, z) @ turn("z", np.pi / 2)
            parts.append(_part(frame, wheel, (0.11, 0.03, 0.11), "rubber", shape="rod"))
    return parts


SCENES = {"room": _room, "street": _street, "orbit": _orbit}  # name -> builder(rng) -> Scene
