"""The 4D player: one HTML file that plays a reconstruction in any browser, without a server or the internet.

With several reconstructions of a clip it shows them side by side, moved by one hand and one clock.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ...large import MANY
from ..opening import find_opening
from ..scene import PLAYER_MB, Scene
from ..surfaces import thinning
from ..videos import playback_fps
from . import filmed
from .movers import one_by_one
from .splats import compress, find_range, pack, without_hem

FOLDER = Path(__file__).parent  # of page.html, style.css and
SCRIPTS = (  # in order
    "scene.js",
    "blocks.js",
    "colours.js",
    "shaders.js",
    "camera.js",
    "cells.js",
    "filmed.js",
    "lines.js",
    "movers.js",
    "drawing.js",
    "playback.js",
    "pointing.js",
    "measure.js",
    "path.js",
    "path_panel.js",
    "controls.js",
    "keeping.js",
    "start.js",
)
_FIELD = 1.2, 0.75  # most that a viewer opens with, tangents of half: 100 and 74 degrees; wider, the rim is stretched
_STATIC_POINTS, _MOVING_POINTS = 300_000, 500_000  # in 12 MB, of which they take about 9, however long the clip
_COARSEST = 4.0  # pixels between the points of what moves: a long clip rather shows fewer moments of it
_BLOCK = 50  # moments that are unpacked together: about two seconds of a video
_FILMED = 0.2  # share of the bytes that the pictures of the frames may have
_FEWEST = 0.02  # share of the points; when no more would fit, it is not they that take the bytes
_LESS = 0.95  # of the points that would just fit: their bytes are not quite in proportion to their number


def write_player(scene: Scene, path: Path, share: float = 1) -> None:
    """Write a `Reconstruction` as one self-contained HTML file (WebGL, asks the network for nothing) of at most
    `scene.player_mb`.

    The static scene is stored once, the moving objects per frame, as coloured elliptical splats in the world frame of
    the result (OpenCV axes of the first camera), together with the camera of every frame and small pictures of the
    frames. Grids of pixels are thinned to about 800 000 points in 12 MB (share: of these), and further until the file
    is small enough. Of more than `MANY` frames, what stands still is taken from some, what moves is shown at every k-th
    where it would be too coarse otherwise, and it is stored in blocks that the page unpacks as it plays.
    """
    _write({"": scene}, path, share)


def write_linked(scenes: Mapping[str, Scene], path: Path) -> None:
    """Write one to four reconstructions of the same frames, in one world, as one such file with linked views.

    One clock and one camera drive all; scenes: name above each view -> `Scene`. Two can be laid on top of each other.
    Each has its share of the points that one alone has: its view has that share of the screen, and the browser draws as
    many points, and loads about as much, as for one.
    """
    _write(scenes, path, 1 / len(scenes))


def _write(scenes, path, share):
    first = next(iter(scenes.values()))
    most_bytes = int(first.player_mb * 1e6)
    pictures = json.dumps(filmed.encode(first.result.frames, int(_FILMED * most_bytes)))
    share *= first.player_mb / PLAYER_MB
    budgets = [(share * _STATIC_POINTS, share * _MOVING_POINTS)] * len(scenes)
    while True:
        packed = [_packed(name, scene, *budget) for (name, scene), budget in zip(scenes.items(), budgets)]
        blocks = [compress(block) for about, table in packed for block in _blocks(about, table)]
        page = _page([about for about, _ in packed], blocks, pictures)
        excess = len(page) - most_bytes
        left = _LESS * (1 - excess / sum(map(len, blocks)))
        if excess <= 0 or left < _FEWEST:
            break
        budgets = [(left * about["stillCount"], left * (len(table) - about["stillCount"])) for about, table in packed]
    path.write_bytes(page)


def _blocks(about, table):
    """The points in parts: what stands still with the first moments of what moves, then the other moments."""
    moving, block = about["moving"], about["block"]
    counts = [sum(map(sum, moving[k : k + block])) for k in range(0, len(moving), block)]
    return np.split(table, about["stillCount"] + np.cumsum(counts)[:-1])


def _moments(scene, budget):
    """How many frames from one moment of what moves to the next."""
    n_frames = len(scene.result.frames)
    if n_frames <= MANY:
        return 1
    wanted = thinning(int(scene.moving.sum()), budget) / _COARSEST
    return int(np.clip(np.ceil(wanted**2), 1, n_frames // MANY))


def _page(about, blocks, pictures):
    points = '<script type="application/octet-stream" class="points">{}</script>'
    parts = {
        "STYLE": _read("style.css"),
        "SCRIPT": "\n".join(map(_read, SCRIPTS)),
        "SCENE": json.dumps(about, allow_nan=False).replace("<", "\\u003c"),  # may not end the script
        "FILMED": pictures,
        "POINTS": "\n".join(map(points.format, blocks)),
    }
    return re.sub("@([A-Z]+)@", lambda found: parts[found[1]], _read("page.html")).encode()


def _packed(name, scene, most_static, most_moving):
    """What the page has to know of a scene, and the table of its points, with at most about so many."""
    result = scene.result
    surroundings = [without_hem(patch) for patch in scene.surfaces(max(1, int(most_static)))]
    every = _moments(scene, most_moving)
    moments = range(0, len(result.frames), every)
    objects = [without_hem(patch) for patch in scene.objects(moments, max(1, int(most_moving)))]
    movers, moving, objects = one_by_one(scene, objects)
    sure, depth = find_range(scene.shown_values("confidence")), scene.shown_values("depth")
    table, ranges = pack(surroundings + objects, result, sure)
    whole = sum(int(each.fresh.sum()) for each in scene.shares) + int(scene.moving.sum())
    opening = find_opening(scene, _FIELD, narrows=True)
    distance = float(np.median(depth)) if len(depth) else 1.0
    scale = result.info.get("scale")
    about = {
        "name": name,
        "static": [[patch.t, len(patch.points)] for patch in surroundings],  # of which frame
        "stillCount": sum(len(patch.points) for patch in surroundings),
        "moving": moving,  # of each moment and mover
        "every": every,  # frames from moment to moment
        "block": _BLOCK if len(result.frames) > MANY else len(moving),  # moments
        "movers": movers,
        **ranges,
        "sure": [float(f"{x:.3g}") for x in sure],
        "thinned": round(max(1.0, whole / max(len(table), 1)), 2),  # each point stands for so many
        "size": [int(side) for side in result.depth.shape[:0:-1]],
        "distance": distance,
        "opening": {**vars(opening), "target": opening.target.tolist()},
        "fps": playback_fps(result.timestamps),
        "system": str(result.info.get("system", "unknown")),
        "scale": {key: str(scale.get(key, "")) for key in ("unit", "from", "metres_per_unit")}
        if isinstance(scale, dict)
        else None,
        "frames": [
            {
                "time": round(float(time), 4),
                "pose": np.round(matrix[:3].ravel(), 7).tolist(),
                "lens": np.round([k[0, 0], k[1, 1], k[0, 2], k[1, 2]], 4).tolist(),
            }
            for time, matrix, k in zip(result.timestamps, result.cam2world, result.intrinsics)
        ],
    }
    return about, table


def _read(name):
    return (FOLDER / name).read_text(encoding="utf-8")
