"""A walk round a block of houses, back to where it began, behind someone with a balloon. With its truth."""

from collections.abc import Callable

import numpy as np

from ..camera import pose
from .raycaster import render
from .scenes import Scene, Solid, turn, walker
from .truth import Clip

PACE = 1.3  # metres per second: of whoever films, on foot
# Metres between frames while the way grows with their number: 23 m in 100 frames. What is seen there shifts by 4 % of
# the width from one to the next, nearly all of it because a whole turn of the camera is spread over so few. With more
# frames than the longest way has steps, the steps get shorter: 0.1 m of 1,000.
STEP, SHORTEST, LONGEST = 0.24, 23.0, 100.0
CORNER = 8.0  # metres, radius of the way round a corner at most; the shortest way is a ring
AGAIN = 0.04  # share of the way that is walked once more at the end
# Image widths: an action camera's, 90 degrees. With a phone's 0.75, a turn moves the picture by half as much again, and
# at 128 pixels optical flow follows it over two frames instead of three.
FOCAL = 0.5
BOB, STEPS = 0.012, 1.9  # metres up and down, and steps per second, of whoever films
AHEAD, ASIDE = 2.2, 0.4  # metres along and right of the way where the camera looks: a little outwards
BEFORE = 2.4  # metres from the camera to who walks ahead
INNER, OUTER = -2.3, 7.5  # metres from the way to the houses on its left and on its right
HOUSES, SHOPS = ("brick_red", "brick_sand", "brick_blue"), ("shop", "poster", "picture", "books")


def around_block(n_frames: int, width: int = 128, height: int = 80, seed: int = 0) -> Clip:
    """A walk round a block that ends a little beyond where it began, seeing again what the first frames saw.

    From 100 to 430 frames the way gets longer with their number, by `STEP` a frame, up to 100 m. Someone walks ahead
    all the time, from side to side, and a balloon sways beside them. The same arguments give the same clip, see
    `render`.
    """
    length = length_of(n_frames)
    return render(_scene(length, np.random.default_rng(seed)), n_frames, width, height, seed, seconds(length))


def length_of(n_frames: int) -> float:
    """Metres round the block in a walk of so many frames."""
    return float(np.clip(STEP * n_frames / (1 + AGAIN), SHORTEST, LONGEST))


def seconds(length: float) -> float:
    """Seconds that a walk takes whose way round the block is `length` metres long."""
    return (1 + AGAIN) * length / PACE


def way(length: float) -> Callable[[float, float], np.ndarray]:
    """metres along, metres to the right -> frame (4, 4): x to the left, y up, z ahead, on a closed way of that length.

    A square with round corners about the origin, walked with the inside on the left; it starts mid-side.
    """
    radius = min(CORNER, length / (2 * np.pi))
    half = (length / 4 - np.pi / 2 * radius) / 2  # of a straight

    def frame(along: float, right: float = 0.0) -> np.ndarray:
        side, rest = divmod(along, length / 4)
        bend = np.clip((rest - half) / radius, 0, np.pi / 2)
        x = min(rest, half) + radius * np.sin(bend)
        z = half + radius * np.cos(bend) - max(rest - half - np.pi / 2 * radius, 0)
        ahead = turn("y", bend + np.pi / 2)[:3, :3]
        return turn("y", side * np.pi / 2) @ pose(ahead, np.array([x, 0, z])) @ _move(-right, 0, 0)

    return frame


def _move(x, y, z):
    return pose(np.eye(3), np.array([x, y, z]))


def _scene(length, rng):
    frame = way(length)
    solids = [
        Solid("ball", (90.0,) * 3, np.eye(4), "sky", 50.0, False),
        _standing(np.eye(4), (160, 0.1, 160), "asphalt", 9.0, -0.14, contact=False),
        *_pavement(frame, length),
        *_houses(frame, length, INNER, 3.4, rng),
        *_houses(frame, length, OUTER, 6.0, rng),
    ]
    for number, (along, right) in enumerate(_evenly(frame, length, INNER + 0.4, 2.1)):
        solids += _thing(frame(along + rng.uniform(-0.4, 0.4), right), number, rng, small=True)
    for number, (along, right) in enumerate(_evenly(frame, length, OUTER - 2.3, 5.0)):
        solids += _thing(frame(along + rng.uniform(-0.5, 0.5), right + rng.uniform(-0.6, 0.6)), number, rng)

    def person(t):
        ahead = frame(PACE * t + BEFORE + 0.3 * np.sin(0.7 * t), 0.1 + 0.7 * np.sin(1.5 * t))
        return ahead @ turn("y", -0.5 * np.cos(1.5 * t))

    # People who walk ahead of a camera that follows them look as still as what is far away: masks from flow need
    # something that also moves up and down. With a dog in its place, 128 pixels show nothing that moves (J < .02).
    def balloon(t):
        at = frame(PACE * t + BEFORE - 0.2, 0.1 - 0.75 * np.sin(1.2 * t))
        return at @ _move(0, 1.2 + 0.45 * np.sin(1.9 * t), 0)

    def camera(t):
        bob = BOB * np.sin(2 * np.pi * STEPS * t)
        eye = frame(PACE * t, 0.06 * np.sin(0.9 * t)) @ [0, 1.5 + bob, 0, 1]
        return eye[:3], (frame(PACE * t + AHEAD, ASIDE) @ [0, 1.25, 0, 1])[:3]

    return Scene(
        solids + walker(person) + [Solid("ball", (0.42,) * 3, balloon, "beachball", None, False)], camera, FOCAL
    )


def _standing(frame, size, texture, tile=None, lift=0.0, shape="box", contact=True):
    """Something of full size (x, y, z) that stands on the ground of `frame`, or `lift` metres above."""
    half = tuple(s / 2 for s in size)
    return Solid(shape, half, frame @ _move(0, lift + half[1], 0), texture, tile, contact)


def _evenly(frame, length, right, apart):
    """Places (metres along, right), about `apart` metres from each other as measured beside the way."""
    along = np.linspace(0, length, 400)
    places = np.array([frame(s, right)[:3, 3] for s in along])
    walked = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(places, axis=0), axis=1))])
    count = max(4, round(walked[-1] / apart))
    return [(float(s), right) for s in np.interp(np.arange(count) / count * walked[-1], walked, along)]


def _pavement(frame, length):
    """Slabs under the way, no two alike; neighbours differ by a centimetre in height."""
    for number, (along, right) in enumerate(_evenly(frame, length, 0.3, 3.0)):
        lift = -0.06 + 0.01 * (number % 2)
        yield _standing(frame(along, right), (4.4, 0.05, 3.6), f"paving#{number}", None, lift, contact=False)


def _houses(frame, length, right, apart, rng):
    """A closed row of houses, no two alike, with fronts `right` of the way; some have a shop."""
    side, places = np.sign(right), _evenly(frame, length, right, apart)
    gap = np.linalg.norm(frame(places[0][0], right)[:3, 3] - frame(places[1][0], right)[:3, 3])
    for number, (along, _) in enumerate(places):
        tall, deep, back = rng.uniform(3.5, 7.0), rng.uniform(1.2, 1.6), rng.uniform(0, 0.3)
        wide, name = 1.08 * gap, f"#{number}{'ab'[int(side > 0)]}"
        front = frame(along, right + side * back)
        middle = front @ _move(-side * deep / 2, 0, 0)
        yield _standing(middle, (deep, tall, wide), HOUSES[number % 3] + name, max(wide, tall))
        yield _standing(middle, (deep + 0.3, 0.2, wide + 0.1), "plaster", None, tall, contact=False)
        shop = SHOPS[int(rng.integers(4))] + name
        size = (0.12, rng.uniform(1.2, 2.2), rng.uniform(0.2, 0.4) * wide)
        yield _standing(front, size, shop, None, rng.uniform(0, 0.9), contact=False)


def _thing(frame, number, rng, small=False):
    """What stands about in towns: small things before the houses, else trees, lamps, benches, bins, cars."""
    frame = frame @ turn("y", rng.uniform(-0.25, 0.25))
    size, name = rng.uniform(0.8, 1.2), f"#{number}"

    def rod(radius, high, texture):
        return _standing(frame, (2 * radius, high, 2 * radius), texture, 0.7, shape="rod")

    def ball(radius, texture, lift):
        return _standing(frame, (2 * radius,) * 3, texture, None, lift, "ball", False)

    def box(size, texture, lift=0.0, tile=None):
        return _standing(frame, size, texture, tile, lift)

    small_things = (
        [rod(0.16, 0.4 * size, "clay"), ball(0.3 * size, "leaves" + name, 0.35)],
        [box((0.35, 0.5 * size, 0.45), "parcel" + name)],
        [box((0.1, 0.9 * size, 0.5), "poster" + name)],
    )
    things = (
        [rod(0.12, 2.0, "wood"), ball(0.8 * size, "leaves" + name, 1.6)],
        [rod(0.06, 3.2, "metal"), ball(0.2, "lamp", 3.1), box((0.1, 0.7, 0.5), "picture" + name)],
        [box((0.4, 0.45, 1.5), "wood"), box((0.08, 0.9, 1.5), "wood")],
        [rod(0.2, 0.9 * size, "fruit"), ball(0.2, "fruit", 0.9 * size)],
        [box((1.4, 0.6, 2.4), "paint", 0.2, 1.5), box((1.25, 0.5, 1.4), "glass", 0.8, 1.2)],
    )
    return small_things[number % 3] if small else things[number % 5]
