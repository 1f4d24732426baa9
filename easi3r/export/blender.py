"""The moving camera as a glTF file, for Blender and other 3D programs, to be imported beside scene.glb.

Format: Khronos glTF 2.0 specification, https://registry.khronos.org/glTF/specs/2.0/glTF-2.0.html
"""

import base64
import json
from pathlib import Path

import numpy as np
from scipy.optimize import linprog
from scipy.spatial.transform import Rotation

from .glb import AXES
from .scene import Scene
from .videos import playback_fps


def write_camera(scene: Scene, path: Path) -> None:
    """glTF file (text, self-contained) with one perspective camera that shows the original video, key by key.

    Axes, unit of length and pace are those of scene.glb: x right, y up, z backward, frame t at t / playback_fps
    seconds. glTF cameras look through the middle of their picture. The principal point lies beside it, half a working
    pixel as a rule; the camera is turned by that little. A turn stretches the picture towards its edges, a shift does
    not: 0.14 working pixels remain at 60 degrees, 0.25 at 80 (along the long side). cameras.json has the exact cameras.
    """
    result, unit = scene.result, scene.units_per_world_unit
    (width, height), intrinsics = result.framing.source_size, result.source_intrinsics
    fx, fy = np.mean(intrinsics[:, 0, 0]), np.mean(intrinsics[:, 1, 1])  # glTF cameras do not zoom
    centred = np.array([[fx, 0, (width - 1) / 2], [0, fy, (height - 1) / 2], [0, 0, 1]])
    places = (result.cam2world[:, :3, 3] @ AXES * unit).astype(np.float32)
    different, which = np.unique(intrinsics, axis=0, return_inverse=True)
    turns = np.array([_turn(centred, k, width, height) for k in different])[which]
    turns = _quaternions(result.cam2world[:, :3, :3] @ turns)
    document = {
        "asset": {"version": "2.0", "generator": "Easi3R demo"},
        "scene": 0,
        "scenes": [{"nodes": [0], "extras": scene.gltf_extras}],
        "nodes": [{"name": "camera", "camera": 0, "translation": places[0].tolist(), "rotation": turns[0].tolist()}],
        "cameras": [
            {
                "name": "camera",
                "type": "perspective",
                "perspective": {
                    "yfov": float(2 * np.arctan(height / 2 / fy)),
                    "aspectRatio": float(width / height * fy / fx),
                    "znear": 0.002 * scene.median_depth * unit,
                    "zfar": 200 * scene.median_depth * unit,
                },
            }
        ],
    }
    if len(places) > 1:
        times = (np.arange(len(places)) / playback_fps(result.timestamps)).astype(np.float32)
        document |= _animation(times, places, turns)
    path.write_text(json.dumps(document, indent=1, allow_nan=False), encoding="utf-8")


def _turn(centred, intrinsics, width, height):
    """Rotation (3,3) of a camera with matrix `centred` that best shows what one with `intrinsics` shows: no pixel of
    the picture is farther from its place than need be. A linear programme, as the turn is small.
    """
    u, v = np.meshgrid(np.linspace(0, width - 1, 9), np.linspace(0, height - 1, 9))
    pixels = np.stack([u.ravel(), v.ravel(), np.ones(u.size)])
    rays = np.linalg.inv(intrinsics) @ pixels
    x, y, one = rays
    away = (pixels - centred @ rays)[:2]  # (2,N) pixels to go
    steps = np.array([[-x * y, one + x * x, -y], [-one - y * y, x * y, x]])  # (2,3,N) per radian about each axis
    steps *= centred[[0, 1], [0, 1]][:, None, None]
    angles = np.arange(16) * np.pi / 8
    ways = np.stack([np.cos(angles), np.sin(angles)])  # (2,16): the farthest of these is the distance, to 2 %
    steps, away = np.einsum("aw,akn->wnk", ways, steps).reshape(-1, 3), (ways.T @ away).ravel()
    # smallest `farthest` with steps @ turn - away <= farthest
    best = linprog([0, 0, 0, 1], np.column_stack([steps, -np.ones(len(steps))]), away, bounds=(None, None))
    return Rotation.from_rotvec(-best.x[:3]).as_matrix()


def _quaternions(rotations):
    """(T,4) float32 x, y, z, w in the axes of glTF; neighbours never have opposite signs, which means a detour."""
    turns = Rotation.from_matrix(AXES @ rotations @ AXES).as_quat()
    flips = np.sign(np.sum(turns[1:] * turns[:-1], axis=1))
    turns[1:] *= np.cumprod(np.where(flips == 0, 1, flips))[:, None]
    return turns.astype(np.float32)


def _animation(times, places, turns):
    """The parts of a glTF document that move node 0: times (T,), places (T,3), turns (T,4), float32."""
    arrays = [times, places, turns]
    starts = np.cumsum([0] + [array.nbytes for array in arrays]).tolist()
    data = base64.b64encode(b"".join(array.tobytes() for array in arrays)).decode("ascii")
    accessors = [
        {"bufferView": k, "componentType": 5126, "count": len(times), "type": kind}
        for k, kind in enumerate(("SCALAR", "VEC3", "VEC4"))
    ]
    accessors[0] |= {"min": [float(times[0])], "max": [float(times[-1])]}
    return {
        "animations": [
            {
                "name": "time",
                "samplers": [{"input": 0, "output": k, "interpolation": "LINEAR"} for k in (1, 2)],
                "channels": [
                    {"sampler": k, "target": {"node": 0, "path": path}}
                    for k, path in enumerate(("translation", "rotation"))
                ],
            }
        ],
        "accessors": accessors,
        "bufferViews": [
            {"buffer": 0, "byteOffset": start, "byteLength": array.nbytes} for start, array in zip(starts, arrays)
        ],
        "buffers": [{"byteLength": starts[-1], "uri": "data:application/octet-stream;base64," + data}],
    }
