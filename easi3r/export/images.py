"""Every frame as a picture of its own: the frame, what moves in it, its depth."""

import json
from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np
from PIL import Image

from ..large import frames_of, some
from ..motion.movers import colour
from ..scale import unit
from .scene import Scene
from .views import Views

_FARTHEST = 20  # times the median depth; 16 bits go to what is nearer, what is farther counts as unusable
_PNG = cv2.IMWRITE_PNG_COMPRESSION, 1  # five times faster than the default for a tenth more size
_JPEG = (cv2.IMWRITE_JPEG_QUALITY, 95, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444)


def write_pngs(folder: Path, images: Iterable[np.ndarray]) -> None:
    """PNG files 00000.png and so on of images (H,W[,C]) in OpenCV's order of channels."""
    _write_all(folder, ".png", images, _PNG)


def write_frames(views: Views, folder: Path) -> None:
    """JPEG files 00000.jpg and so on, the frames of `Views`."""
    _write_all(folder, ".jpg", (frame[..., ::-1] for frame in views.frames), _JPEG)


def write_mask_images(scene: Scene, folder: Path) -> None:
    """PNG files 00000.png and so on at working size, with a palette as in DAVIS: the value is the mover that a pixel
    belongs to, 0 = static; its colour is that of masks.mp4.
    """
    folder.mkdir(parents=True, exist_ok=True)
    palette = np.concatenate([colour(mover) for mover in range(256)]).tolist()
    for t in frames_of(scene.result):
        image = Image.fromarray(scene.movers[t])
        image.putpalette(palette)
        image.save(folder / f"{t:05d}.png", compress_level=1)


def write_static_masks(views: Views, folder: Path) -> None:
    """PNG files 00000.jpg.png and so on, 8 bit grey: 0 = moving, to be ignored; 255 = static, to be used: `Views.used`.

    Named after the frames' files as COLMAP expects it, https://colmap.github.io/faq.html; nerfstudio is told the names.
    """
    _write_all(folder, ".jpg.png", (255 * used.astype(np.uint8) for used in views.used), _PNG)


def write_depth_images(scene: Scene, folder: Path) -> None:
    """PNG files 00000.png and so on, 16 bit grey at working size, and scale.json: z depth = value * scale.

    One scale for the whole clip, in the unit of the cameras. Value 0: unusable, or more than 20 times the
    median depth away. The error is at most half a scale, that is at most 0.016 % at the median depth.
    """
    result = scene.result
    told = some(result.depth)[_usable(some(result.depth), some(result.confidence))]
    limit = _FARTHEST * float(np.median(told)) if len(told) else np.inf

    def near(t):
        return _usable(result.depth[t], result.confidence[t]) & (result.depth[t] <= limit)

    farthest = max(float(result.depth[t].max(initial=0, where=near(t))) for t in frames_of(result))
    scale = farthest / 65535 if farthest else 1.0
    values = (
        np.where(
            near(t),
            np.maximum(np.round(np.nan_to_num(result.depth[t].astype(float), posinf=0, neginf=0) / scale), 1),
            0,
        )
        for t in frames_of(result)
    )
    _write_all(folder, ".png", (each.astype(np.uint16) for each in values), _PNG)
    about = {
        "scale": scale,
        "depth": "value * scale, along the viewing axis (z), in the unit of cameras.json",
        "value_0": "unusable",
        "unit": unit(result.info),
    }
    (folder / "scale.json").write_text(json.dumps(about, indent=1), encoding="utf-8")


def _usable(depth, confidence):
    return np.isfinite(depth) & (depth > 0) & (confidence > 0)


def _write_all(folder, suffix, images, parameters):
    """Number and encode `images` (grey or BGR)."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, image in enumerate(images):
        # not cv2.imwrite, which is silent when the disk is full
        encoded = cv2.imencode("." + suffix.rpartition(".")[2], np.ascontiguousarray(image), parameters)[1]
        (folder / f"{t:05d}{suffix}").write_bytes(encoded)
