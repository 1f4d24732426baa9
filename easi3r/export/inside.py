"""Videos that show how the result came about: the evidence of motion step by step, and the confidence."""

import functools
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from .. import video
from ..large import choice, frames_of, some
from ..motion.evidence import BEFORE_SAM2
from .scene import Scene
from .videos import coloured, playback_fps

_TILE = 316, 400  # most pixels of a tile, width and height
_NARROWEST = 200  # pixels of a column, so that labels stay readable
_GAP, _LABEL = 6, 24  # pixels between tiles, height of a label
_BACKGROUND, _TEXT, _FAINT = (22, 24, 29), (235, 235, 235), (150, 155, 165)
_RED = np.array([255, 40, 60])
_DARKENED = np.round(0.6 * np.arange(256)).astype(np.uint8)
_NAMES = {  # what the evidence maps of the backbones are, in plain words
    "A_src_mean": "Attention as second view: average",
    "A_src_std": "Attention as second view: variation",
    "A_ref_mean": "Attention as first view: average",
    "A_ref_std": "Attention as first view: variation",
    "plane_mean": "Contradicts a flat scene: average",
    "plane_std": "Contradicts a flat scene: variation",
    "epipolar_mean": "Contradicts the camera: average",
    "epipolar_std": "Contradicts the camera: variation",
    "fused": "All four combined",
    "flow_residual": "Flow that the cameras do not explain",
    BEFORE_SAM2: "Moving, before SAM 2",
    "mask_heads": "Moving, as the network says",
}
_NOTE, _CLUSTERS_NOTE = "Bright = strong, on one scale per map", "; one colour = judged together"


def write_inside(scene: Scene, path: Path) -> None:
    """mp4 with one picture per frame: the frame, each map of `result.evidence`, the clusters over which the one named
    `fused` is averaged (without them: `result.motion`, which is what that was spread to), and the moving pixels in red;
    every tile has a label.

    Evidence maps may have any size (h,w). Each map is coloured (Inferno, from dark to bright) between its 1st and
    99.5th percentile over the whole clip, a cluster always in the same colour. Two columns of wide pictures or four of
    tall ones, at most 1294 pixels wide.
    """
    result = scene.result
    maps = {_NAMES.get(name, name.replace("_", " ")): values for name, values in result.evidence.items()}
    clusters = maps.pop("clusters", None)
    if clusters is None and "fused" in result.evidence:
        maps["Spread to what looks alike"] = result.motion
    titles = ["The clip", *maps, *([] if clusters is None else ["Similar regions (clusters)"]), "Moving (red)"]
    ranges = [_range(values, 1, 99.5) for values in maps.values()]
    note = f"{_NOTE}{'' if clusters is None else _CLUSTERS_NOTE}."
    sheet = _Sheet(result.frames.shape[2:0:-1], titles, note, len(result.frames))

    def picture(t):
        heat = [
            _heat(values[t], limits, sheet.tile, cv2.COLORMAP_INFERNO) for values, limits in zip(maps.values(), ranges)
        ]
        if clusters is not None:
            heat.append(
                cv2.resize(_palette()[clusters[t].astype(np.uint8)], sheet.tile, interpolation=cv2.INTER_NEAREST)
            )
        return sheet.fill([result.frames[t], *heat, _reddened(result.frames[t], result.dynamic[t])], t)

    video.write(path, map(picture, frames_of(result)), playback_fps(result.timestamps))


def write_confidence(scene: Scene, path: Path) -> None:
    """mp4 of the confidence in colours (Viridis), from dark blue (unsure) to yellow (sure); unusable pixels are black.

    Logarithm of the confidence between its 2nd and 98th percentile over the whole clip.
    """
    result = scene.result
    size = result.frames.shape[2:0:-1]

    def logarithm(t):
        confidence = result.confidence[t]
        usable = np.isfinite(confidence) & (confidence > 0)
        return np.log(confidence, out=np.full(usable.shape, np.nan, np.float32), where=usable)

    limits = _range(np.stack([logarithm(t) for t in choice(len(result.frames))]), 2, 98)

    def picture(t):
        values = logarithm(t)
        return _heat(np.nan_to_num(values), limits, size, cv2.COLORMAP_VIRIDIS) * np.isfinite(values)[..., None]

    video.write(path, map(picture, frames_of(result)), playback_fps(result.timestamps))


def _range(values, low, high):
    """Two percentiles of the finite values of some frames (T,...); (0, 1) if there are none."""
    values = some(values)
    values = values[np.isfinite(values)]
    return np.percentile(values, [low, high]) if values.size else (0.0, 1.0)


def _heat(values, limits, size, colour_map):
    """(h,w) -> (H,W,3) uint8 RGB of `size` (W, H); a map without differences is shown as its lowest value."""
    low, high = limits
    if not high > low:
        levels = np.zeros(values.shape, np.float32)
    else:
        levels = np.clip((np.nan_to_num(values) - low) / (high - low), 0, 1).astype(np.float32)
    if values.shape != size[::-1]:
        levels = cv2.resize(levels, size, interpolation=cv2.INTER_LINEAR)
    return coloured(np.round(levels * 255).astype(np.uint8), colour_map)


@functools.cache
def _palette():
    """(256,3) uint8 RGB, as different as can be: every colour is the one farthest, in CIELAB, from all before it."""
    hue, saturation, value = np.meshgrid(np.arange(0, 360, 7.5), [0.4, 0.7, 1], [0.5, 0.75, 1])
    hsv = np.stack([hue, saturation, value], axis=-1).reshape(1, -1, 3).astype(np.float32)
    candidates = cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)
    lab = cv2.cvtColor(candidates, cv2.COLOR_RGB2LAB)[0]
    chosen, distance = [0], np.full(len(lab), np.inf)
    while len(chosen) < 256:
        distance = np.minimum(distance, np.linalg.norm(lab - lab[chosen[-1]], axis=1))
        chosen.append(int(distance.argmax()))
    return np.round(candidates[0, chosen] * 255).astype(np.uint8)


def _reddened(frame, dynamic):
    """The frame in darkened grey with its moving pixels (H,W) bool in red."""
    grey = _DARKENED[cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)]
    picture = cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)
    picture[dynamic] = np.round(0.35 * frame[dynamic] + 0.65 * _RED)
    return picture


class _Sheet:
    """A grid of tiles for pictures of `clip_size` (W, H) with titles and a note; drawn once, then filled per frame."""

    def __init__(self, clip_size: tuple[int, int], titles: list[str], note: str, n_frames: int) -> None:
        scale = min(_TILE[0] / clip_size[0], _TILE[1] / clip_size[1])
        self.tile = tuple(max(1, round(side * scale)) for side in clip_size)
        self._column = max(self.tile[0], _NARROWEST)
        self._n_frames = n_frames
        self._columns = 2 if clip_size[0] > clip_size[1] else 4  # nearly square: readable on a phone too
        rows = -(-len(titles) // self._columns)
        self._row = _LABEL + self.tile[1] + _GAP
        size = self._columns * (self._column + _GAP) + _GAP, rows * self._row + _LABEL + _GAP
        empty = Image.new("RGB", size, _BACKGROUND)
        draw = ImageDraw.Draw(empty)
        for k, title in enumerate(titles):
            left, top = self._place(k)
            draw.text(
                (left + self.tile[0] / 2, top - _LABEL / 2), title, _TEXT, fitting_font(title, self._column), "mm"
            )
        self._footer = size[1] - _LABEL / 2 - _GAP / 2
        draw.text((_GAP, self._footer), note, _FAINT, fitting_font(note, size[0] * 0.75, 13), "lm")
        self._empty = empty

    def _place(self, k):
        """Left and top of the k-th tile."""
        row, column = divmod(k, self._columns)
        inset = (self._column - self.tile[0]) // 2
        return _GAP + column * (self._column + _GAP) + inset, _LABEL + row * self._row

    def fill(self, pictures: list[np.ndarray], t: int) -> np.ndarray:
        """(h,w,3) uint8 with the pictures, of any size, in their tiles and the number of frame t."""
        sheet = self._empty.copy()
        for k, picture in enumerate(pictures):
            if picture.shape[1::-1] != self.tile:
                shrinks = picture.shape[1] >= self.tile[0]
                picture = cv2.resize(picture, self.tile, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
            sheet.paste(Image.fromarray(picture), self._place(k))
        text = f"{t + 1} / {self._n_frames}"
        ImageDraw.Draw(sheet).text((sheet.width - _GAP, self._footer), text, _FAINT, ImageFont.load_default(13), "rm")
        return np.asarray(sheet)


def fitting_font(text: str, width: float, size: int = 15) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, as large as `size` or as lets `text` be at most `width` pixels long."""
    font = ImageFont.load_default(size)
    return ImageFont.load_default(max(8, int(size * min(1, width / font.getlength(text)))))
