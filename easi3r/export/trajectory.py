"""The cameras as text: poses in the TUM format, and everything about them in one JSON file."""

import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from ..scale import unit
from .scene import Scene

_WORLD = "the first camera: its cam2world is the identity"
_CONVENTIONS = {
    "camera_axes": "OpenCV: x right, y down, z forward (into the scene)",
    "cam2world": "4 x 4, row by row; point_world = cam2world @ [x, y, z, 1] of the camera",
    "intrinsics": "pixels; u = fx * x / z + cx, v = fy * y / z + cy; whole numbers are pixel centres, (0, 0) is the "
    "centre of the top left pixel; no lens distortion",
    "intrinsics_working": "for the pictures that were processed, of size working_size",
    "intrinsics_source": "for the upright original video, of size source_size",
    "sizes": "[width, height] in pixels",
    "working_image": "the part `inner` [left, top, width, height] of the source resized to `resized`, "
    "then cut to working_size starting at `offset` [left, top]",
    "timestamp": "seconds in the source video",
    "source_frame": "number of the frame in the source video, from 0; absent if not known",
}


def _about_scale(info):
    known = info.get("scale")
    return f"metres, from {known['from']}" if known else "arbitrary: lengths are right only relative to each other"


def write_poses(scene: Scene, path: Path) -> None:
    """Text file in the TUM format, one line per frame: `timestamp tx ty tz qx qy qz qw`.

    Camera-to-world, OpenCV axes, seconds, unit quaternions with qw >= 0; lengths in the unit of the result.
    Format: https://cvg.cit.tum.de/data/datasets/rgbd-dataset/file_formats
    """
    result = scene.result
    quaternions = Rotation.from_matrix(result.cam2world[:, :3, :3]).as_quat(canonical=True)
    rows = np.column_stack([result.timestamps, result.cam2world[:, :3, 3], quaternions])
    np.savetxt(path, rows, fmt=["%.6f"] + ["%.9g"] * 7)


def write_cameras(scene: Scene, path: Path) -> None:
    """JSON file with the pose of every frame, its intrinsics at working and source resolution, and the conventions."""
    result, framing = scene.result, scene.result.framing
    numbers = result.info.get("frame_numbers")  # results of older versions have none
    frames = zip(result.timestamps, result.cam2world, result.intrinsics, result.source_intrinsics)
    document = {
        "conventions": {**_CONVENTIONS, "world": result.info.get("world", _WORLD), "scale": _about_scale(result.info)},
        "scale": unit(result.info),
        "working_size": list(framing.size),
        "source_size": list(framing.source_size),
        "inner": list(framing.inner),
        "resized": list(framing.resized),
        "offset": list(framing.offset),
        "frames": [
            {
                "index": t,
                **({} if numbers is None else {"source_frame": int(numbers[t])}),
                "timestamp": float(time),
                "cam2world": cam2world.tolist(),
                "intrinsics_working": _pinhole(working),
                "intrinsics_source": _pinhole(source),
            }
            for t, (time, cam2world, working, source) in enumerate(frames)
        ],
    }
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1, allow_nan=False)


def _pinhole(intrinsics):
    return {
        "fx": float(intrinsics[0, 0]),
        "fy": float(intrinsics[1, 1]),
        "cx": float(intrinsics[0, 2]),
        "cy": float(intrinsics[1, 2]),
    }
