"""A plot of the camera's path from above, with the scene and what moves in it."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from ..camera import transform
from .scene import Scene

_SIZE = 960, 760
_BOX = 70, 100, 930, 690  # left, top, right, bottom of the plot
_FINE = 3  # drawn this many times larger, then averaged: smooth edges
_INSET = 300, 200  # an enlarged path, where the path is a mere dot in the scene ...
_SMALL = 0.1  # ... which is: shorter than this share of the plot's height
_STILL = 1e-3  # and longer than this one; below, it is the noise of a camera on a tripod
_SAMPLES = 400_000  # static points that the scene is drawn from
_WEDGES = 6
_FEW = 0.0005  # share of the pixels that must move for a place of what moves
_INK, _FAINT, _GRID = (35, 38, 45), (110, 115, 125), (232, 234, 238)
PATH, TRACK, START, END = (37, 99, 235), (234, 88, 12), (22, 163, 74), (190, 24, 60)


def write_path_plot(scene: Scene, path: Path) -> None:
    """PNG, 960 x 760 pixels: the world from above (x to the right, z upwards, as the first camera looks).

    The camera's path (blue) with its start (green disc), its end (red square) and wedges that show where it looked at a
    few times; the median place of the moving pixels of each frame (orange); the static points in pale colours of their
    own. A path that is short against the scene is shown enlarged too. The unit of length is arbitrary.
    """
    result = scene.result
    points, colours = _sample(result, scene.static)
    track = _track(result, scene.moving)
    places = result.cam2world[:, [0, 2], 3]
    view = _View.around(_BOX, points, np.concatenate([places, track[np.isfinite(track[:, 0])]]))
    canvas = _Canvas()
    _draw_axes(canvas, view)
    canvas.image.paste(_ground(view, points, colours), tuple(n * _FINE for n in _BOX[:2]))
    _draw_grid(canvas, view)
    _draw_track(canvas, view, track)
    _draw_path(canvas, view, result, places, 46)
    length = np.ptp(places, axis=0).max()
    if _STILL * view.span < length < _SMALL * view.span:
        _draw_inset(canvas, view, result, places, track)
    _draw_words(canvas, result, np.isfinite(track).any())
    canvas.image.reduce(_FINE).save(path, format="PNG")


# ---- what is shown


def _sample(result, static):
    """Static points from above (N,2) x and z, and their colours (N,3) uint8; a regular choice of pixels."""
    step = max(1, round(np.sqrt(static.size / _SAMPLES)))
    points, colours = [np.empty((0, 2))], [np.empty((0, 3), np.uint8)]
    for t in range(len(static)):
        keep = static[t, ::step, ::step]
        rays = result.cameras[t].rays()[::step, ::step][keep]
        depth = result.depth[t, ::step, ::step][keep]
        points.append(transform(result.cam2world[t], rays * depth[:, None])[:, [0, 2]])
        colours.append(result.frames[t, ::step, ::step][keep])
    return np.concatenate(points), np.concatenate(colours)


def _track(result, moving):
    """(T,2): median place, x and z, of the moving pixels of each frame; NaN where nearly nothing moves."""
    track = np.full((len(moving), 2), np.nan)
    for t, mask in enumerate(moving):
        if mask.mean() > _FEW:
            seen = result.cameras[t].rays()[mask] * result.depth[t][mask][:, None]
            track[t] = np.median(transform(result.cam2world[t], seen), axis=0)[[0, 2]]
    return track


@dataclass(frozen=True)
class _View:
    """Which part of the world, x and z, a box of the picture shows. Both axes have one scale."""

    box: tuple  # left, top, right, bottom, pixels
    centre: np.ndarray  # (2,) world
    unit: float  # world units per pixel

    @classmethod
    def around(cls, box, points, needed):
        """Shows all of `needed` (N,2) and most of `points` (M,2): far outliers may lie outside."""
        bounds = [needed.min(axis=0), needed.max(axis=0)]
        if len(points):
            bounds += [*np.percentile(points, [3, 92], axis=0)]
        low, high = np.min(bounds, axis=0), np.max(bounds, axis=0)
        sides = np.array([box[2] - box[0], box[3] - box[1]])
        unit = float(((high - low) / (sides - 80)).max())
        return cls(box, (low + high) / 2, unit if unit > 0 else 1 / sides.min())

    @property
    def span(self):
        """World units from the bottom to the top."""
        return self.unit * (self.box[3] - self.box[1])

    def pixels(self, places):
        """World (N,2) -> picture (N,2)."""
        middle = (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2
        return middle + (places - self.centre) / self.unit * [1, -1]

    def world(self, pixels):
        """Picture (N,2) -> world (N,2)."""
        middle = (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2
        return self.centre + (np.asarray(pixels, float) - middle) * self.unit * [1, -1]


# ---- drawing


class _Canvas:
    """Draws in pixels of the final picture, on an image `_FINE` times as large. Colours with four values blend."""

    def __init__(self):
        self.image = Image.new("RGB", tuple(side * _FINE for side in _SIZE), "white")
        self._draw = ImageDraw.Draw(self.image, "RGBA")

    def line(self, points, colour, width):
        points = [tuple(p) for p in np.asarray(points, float) * _FINE]
        self._draw.line(points, colour, round(width * _FINE), joint="curve")

    def disc(self, at, radius, colour, rim=None):
        box = [(c + s * radius) * _FINE for s in (-1, 1) for c in at]
        self._draw.ellipse(box, colour, rim, round(1.5 * _FINE) if rim else 0)

    def square(self, at, radius, colour, rim=None):
        box = [(c + s * radius) * _FINE for s in (-1, 1) for c in at]
        self._draw.rectangle(box, colour, rim, round(1.5 * _FINE) if rim else 0)

    def polygon(self, points, colour, outline):
        points = [tuple(p) for p in np.asarray(points, float) * _FINE]
        self._draw.polygon(points, colour)
        self._draw.line([*points, points[0]], outline, _FINE, joint="curve")

    def frame(self, box, colour, fill=None):
        self._draw.rectangle([n * _FINE for n in box], fill, colour, _FINE)

    def text(self, at, text, colour=_INK, size=17, anchor="lm"):
        self._draw.text(tuple(n * _FINE for n in at), text, colour, ImageFont.load_default(size * _FINE), anchor)

    def width_of(self, text, size=17):
        return ImageFont.load_default(size * _FINE).getlength(text) / _FINE


def _ground(view, points, colours):
    """Image of the static points from above, pale on white, for the view's box."""
    width, height = view.box[2] - view.box[0], view.box[3] - view.box[1]
    cell = int(np.clip(1.6 * np.sqrt(width * height / max(len(points), 1)), 2, 10))  # pixels
    columns, rows = -(-width // cell), -(-height // cell)
    place = np.floor((view.pixels(points) - view.box[:2]) / cell).astype(int)
    inside = ((place >= 0) & (place < [columns, rows])).all(axis=1)
    index = place[inside, 1] * columns + place[inside, 0]
    count = np.bincount(index, minlength=rows * columns)
    sums = [np.bincount(index, colours[inside, c], rows * columns) for c in range(3)]
    mean = np.stack(sums, axis=-1) / np.maximum(count, 1)[:, None]
    typical = np.median(count[count > 0]) if count.any() else 1
    opacity = 0.5 * (1 - np.exp(-1.5 * count / typical))[:, None]
    shade = (255 + opacity * (mean - 255)).reshape(rows, columns, 3).astype(np.float32)
    size = columns * cell * _FINE, rows * cell * _FINE
    fine = cv2.resize(shade, size, interpolation=cv2.INTER_LINEAR)[: height * _FINE, : width * _FINE]
    return Image.fromarray(fine.round().astype(np.uint8))


def _ticks(low, high, most):
    """Round numbers (steps of 1, 2 or 5 times a power of ten) from low to high, at most about `most`."""
    rough = (high - low) / most
    power = 10.0 ** np.floor(np.log10(rough))
    step = next(m * power for m in (1, 2, 5, 10) if m * power >= rough * 0.999)
    return np.arange(np.ceil(low / step), np.floor(high / step) + 1) * step


def _lines(view):
    """Tick values of x and of z with their pixel positions."""
    left, top, right, bottom = view.box
    (low_x, low_z), (high_x, high_z) = view.world([(left, bottom), (right, top)])
    for axis, low, high, most in ((0, low_x, high_x, 9), (1, low_z, high_z, 7)):
        for value in _ticks(low, high, most):
            yield axis, value, view.pixels(np.array([[value, value]]))[0, axis]


def _draw_axes(canvas, view):
    left, top, right, bottom = view.box
    for axis, value, at in _lines(view):
        text = f"{value + 0.0:.6g}"  # no minus zero
        if axis == 0:
            canvas.text((at, bottom + 14), text, _FAINT, 14, "mm")
        else:
            canvas.text((left - 8, at), text, _FAINT, 14, "rm")
    canvas.text(((left + right) / 2, bottom + 34), "x, to the right of the first camera", _FAINT, 16, "mm")
    canvas.text((left, top - 13), "z, ahead of the first camera", _FAINT, 16, "lm")


def _draw_grid(canvas, view):
    left, top, right, bottom = view.box
    for axis, _, at in _lines(view):
        canvas.line([(at, top), (at, bottom)] if axis == 0 else [(left, at), (right, at)], (90, 100, 120, 28), 1)
    canvas.frame(view.box, (200, 204, 210))


def _draw_track(canvas, view, track):
    known = np.isfinite(track[:, 0])
    pixels = view.pixels(track)
    for a in range(len(track) - 1):
        if known[a] and known[a + 1]:
            canvas.line(pixels[a : a + 2], (*TRACK, 120), 2)
    for k, at in enumerate(pixels[known]):
        last = k == known.sum() - 1
        canvas.disc(at, 6 if last else 3.5, TRACK, (255, 255, 255) if last else None)


def _draw_path(canvas, view, result, places, reach):
    """The path with its start, end and wedges of `reach` pixels; a path of no length is its start with the wedges."""
    pixels, n_frames = view.pixels(places), len(places)
    corners = np.array([[-0.5, 0, 1], [result.depth.shape[2] - 0.5, 0, 1]])
    for t in np.unique(np.linspace(0, n_frames - 1, min(n_frames, _WEDGES)).round().astype(int)):
        corners[:, 1] = result.intrinsics[t][1, 2]
        rays = (corners @ np.linalg.inv(result.intrinsics[t]).T @ result.cam2world[t][:3, :3].T)[:, [0, 2]]
        rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-9)
        canvas.polygon([pixels[t], *(pixels[t] + reach * rays * [1, -1])], (*PATH, 26), (*PATH, 110))
    if n_frames > 1:
        canvas.line(pixels, PATH, 3)
        canvas.square(pixels[-1], 6, END, (255, 255, 255))
    canvas.disc(pixels[0], 7, START, (255, 255, 255))


def _draw_inset(canvas, view, result, places, track):
    """The path enlarged, in the corner of the plot where least is drawn."""
    left, top, right, bottom = view.box
    drawn = view.pixels(np.concatenate([places, track[np.isfinite(track[:, 0])]]))
    boxes = [
        (x, y, x + _INSET[0], y + _INSET[1])
        for y in (bottom - _INSET[1] - 12, top + 12)
        for x in (right - _INSET[0] - 12, left + 12)
    ]
    box = min(boxes, key=lambda b: ((drawn > b[:2]) & (drawn < b[2:])).all(axis=1).sum())
    inner = _View.around((box[0] + 20, box[1] + 40, box[2] - 20, box[3] - 5), places, places)
    canvas.frame(box, (200, 204, 210), (255, 255, 255, 235))
    _draw_path(canvas, inner, result, places, 30)
    canvas.text((box[0] + 10, box[1] + 15), f"The camera's path, {view.unit / inner.unit:.0f} times larger", size=15)


def _draw_words(canvas, result, moves):
    canvas.text((_BOX[0], 28), "The camera's path from above", size=26)
    canvas.text((_BOX[2], 28), "The scale is arbitrary: lengths have no unit.", _FAINT, 16, "rm")
    entries = [("start", lambda x: canvas.disc((x, 60), 6, START))]
    if len(result.frames) > 1:
        entries += [
            ("end", lambda x: canvas.square((x, 60), 5, END)),
            ("camera", lambda x: canvas.line([(x - 10, 60), (x + 10, 60)], PATH, 3)),
        ]
    entries.append(
        ("where it looked", lambda x: canvas.polygon([(x, 67), (x - 9, 53), (x + 9, 53)], (*PATH, 36), (*PATH, 130)))
    )
    if moves:
        entries.append(("middle of what moves", lambda x: canvas.disc((x, 60), 4.5, TRACK)))
    entries.append(("scene", lambda x: canvas.square((x, 60), 6, (196, 200, 196))))
    x = _BOX[0] + 8
    for text, draw in entries:
        draw(x)
        canvas.text((x + 17, 60), text)
        x += 17 + canvas.width_of(text) + 30
