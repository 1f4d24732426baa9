"""The 4D player: one HTML file that plays a reconstruction in any browser, without a server or the internet.

With several reconstructions of a clip it shows them side by side, moved by one hand and one clock.
"""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from ..opening import find_opening
from ..scene import Scene
from ..videos import playback_fps
from .splats import compress, pack, without_hem

FOLDER = Path(__file__).parent  # of page.html, style.css and
SCRIPTS = (  # in order
    "scene.js",
    "shaders.js",
    "camera.js",
    "cells.js",
    "drawing.js",
    "playback.js",
    "controls.js",
    "keeping.js",
    "start.js",
)
_FIELD = 1.2, 0.75  # most that a viewer opens with, tangents of half: 100 and 74 degrees; wider, the rim is stretched
_STATIC_POINTS, _MOVING_POINTS = 300_000, 500_000  # keep the file under 12 MB, however long the clip


def write_player(scene: Scene, path: Path, share: float = 1) -> None:
    """Write a `Reconstruction` as one self-contained HTML file (WebGL, asks the network for nothing).

    The static scene is stored once, the moving objects per frame, as coloured elliptical splats in the world frame of
    the result (OpenCV axes of the first camera), together with the camera of every frame. Grids of pixels are thinned
    to about 800 000 points in all; share: of these.
    """
    _write([_packed("", scene, share)], path)


def write_linked(scenes: Mapping[str, Scene], path: Path) -> None:
    """Write one to four reconstructions of the same frames, in one world, as one such file with linked views.

    One clock and one camera drive all; scenes: name above each view -> `Scene`. Two can be laid on top of each other.
    Each has its share of the points that one alone has: its view has that share of the screen, and the browser draws as
    many points, and loads about as much, as for one.
    """
    _write([_packed(name, scene, 1 / len(scenes)) for name, scene in scenes.items()], path)


def _write(packed, path):
    text = json.dumps([about for about, _ in packed], allow_nan=False).replace("<", "\\u003c")  # may not end the script
    points = '<script type="application/octet-stream" class="points">{}</script>'
    parts = {
        "STYLE": _read("style.css"),
        "SCRIPT": "\n".join(map(_read, SCRIPTS)),
        "SCENE": text,
        "POINTS": "\n".join(points.format(compress(table)) for _, table in packed),
    }
    page = re.sub("@([A-Z]+)@", lambda found: parts[found[1]], _read("page.html"))
    path.write_text(page, encoding="utf-8")


def _packed(name, scene, share):
    """What the page has to know of a scene, and the table of its points; share: of the points one alone may have."""
    result, shown = scene.result, scene.static | scene.moving
    surroundings = [without_hem(patch) for patch in scene.surfaces(int(share * _STATIC_POINTS))]
    objects = [without_hem(patch) for patch in scene.objects(range(len(shown)), int(share * _MOVING_POINTS))]
    table, ranges = pack(surroundings + objects)
    opening = find_opening(scene, _FIELD, narrows=True)
    distance = float(np.median(result.depth[shown])) if shown.any() else 1.0
    about = {
        "name": name,
        "static": sum(len(patch.points) for patch in surroundings),
        "moving": [len(patch.points) for patch in objects],
        **ranges,
        "size": [int(side) for side in result.depth.shape[:0:-1]],
        "distance": distance,
        "opening": {**vars(opening), "target": opening.target.tolist()},
        "fps": playback_fps(result.timestamps),
        "system": str(result.info.get("system", "unknown")),
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
