"""A plot of the camera's path from above, with the scene and what moves in it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Polygon
from PIL import Image

from ..camera import transform
from ..large import frames_of
from .scene import Scene

_SIZE = 960, 760
_BOX = 70, 100, 930, 690  # left, top, right, bottom of the plot
_DPI = 100
_POINT = 72 / _DPI  # matplotlib's points per pixel
_INSET = 300, 200  # an enlarged path, where the path is a mere dot in the scene ...
_SMALL = 0.1  # ... which is: shorter than this share of the plot's height
_STILL = 1e-3  # and longer than this one; below, it is the noise of a camera on a tripod
_SAMPLES = 400_000  # static points that the scene is drawn from
_WEDGES = 6
_FEW = 0.0005  # share of the pixels that must move for a place of what moves
_LEGEND = 96  # letters, spaces between entries among them, that fit into a row of the legend
_GREY = 120, 124, 132
_INK, _FAINT, _RIM = "#23262d", "#6e737d", "#c8ccd2"
_SEVERAL = (37, 99, 235), (234, 88, 12), (22, 163, 74), (147, 51, 234)  # colours of paths that are compared
PATH, TRACK, START, END = (37, 99, 235), (234, 88, 12), (22, 163, 74), (190, 24, 60)


def write_path_plot(scene: Scene, path: Path) -> None:
    """PNG, 960 x 760 pixels: the world from above (x to the right, z upwards, as the first camera looks).

    The camera's path (blue) with its start (green disc), its end (red square) and wedges that show where it looked at a
    few times; the median place of the moving pixels of each frame (orange); the static points in pale colours of their
    own. A path that is short against the scene is shown enlarged too. The axes are in the unit of the result.
    """
    result = scene.result
    points, colours = _sample(result, scene.static)
    track = _track(result, scene.moving)
    places = result.cam2world[:, [0, 2], 3]
    needed = np.concatenate([places, track[np.isfinite(track[:, 0])]])
    view = _View.around(_BOX, points, needed)
    figure = Figure((_SIZE[0] / _DPI, _SIZE[1] / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    axes = view.axes(figure)
    _draw_ground(axes, view, points, colours)
    _draw_track(axes, track)
    _draw_path(axes, view, result, places, 46)
    _label(axes, result.info)
    length = np.ptp(places, axis=0).max()
    if _STILL * view.span < length < _SMALL * view.span:
        _draw_inset(figure, view, places, needed, lambda axes, inner: _draw_path(axes, inner, result, places, 30))
    _draw_words(figure, result.info, len(places) > 1, bool(np.isfinite(track).any()))
    _save(canvas, path)


def write_paths_plot(scenes: Mapping[str, Scene], path: Path) -> None:
    """The same of several results in one world: name -> `Scene`; the scene is that of the first, a colour per path.

    Where paths lie on each other the later ones are thinner, so that all can be seen.
    """
    first = next(iter(scenes.values()))
    paths = [scene.result.cam2world[:, [0, 2], 3] for scene in scenes.values()]
    points, colours = _sample(first.result, first.static)
    needed = np.concatenate(paths)
    view = _View.around(_BOX, points, needed)
    figure = Figure((_SIZE[0] / _DPI, _SIZE[1] / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    axes = view.axes(figure)
    _draw_ground(axes, view, points, colours)
    _label(axes, first.result.info)
    _draw_paths(axes, paths)
    length = np.ptp(needed, axis=0).max()
    if _STILL * view.span < length < _SMALL * view.span:
        _draw_inset(figure, view, needed, needed, lambda axes, _: _draw_paths(axes, paths))
    _draw_title(figure, "The cameras' paths from above", first.result.info)
    lines = [(name, {"color": _rgb(colour), "linewidth": 3 * _POINT}) for name, colour in zip(scenes, _SEVERAL)]
    marks = [("start", {"marker": "o", **_marker(_GREY, 14)}), ("end", {"marker": "s", **_marker(_GREY, 12)})]
    _draw_legend(figure, [*lines, *marks])
    _save(canvas, path)


def _save(canvas, path):
    canvas.draw()
    Image.fromarray(np.asarray(canvas.buffer_rgba())[..., :3]).save(path, format="PNG")


# ---- what is shown


def _sample(result, static):
    """Static points from above (N,2) x and z, and their colours (N,3) uint8; a regular choice of pixels."""
    step = max(1, round(np.sqrt(static.size / _SAMPLES)))
    points, colours = [np.empty((0, 2))], [np.empty((0, 3), np.uint8)]
    cameras = result.cameras
    for t in frames_of(result):
        keep = static[t, ::step, ::step]
        rays = cameras[t].rays()[::step, ::step][keep]
        depth = result.depth[t, ::step, ::step][keep]
        points.append(transform(result.cam2world[t], rays * depth[:, None])[:, [0, 2]])
        colours.append(result.frames[t, ::step, ::step][keep])
    return np.concatenate(points), np.concatenate(colours)


def _track(result, moving):
    """(T,2): median place, x and z, of the moving pixels of each frame; NaN where nearly nothing moves."""
    track = np.full((len(moving), 2), np.nan)
    cameras = result.cameras
    for t in frames_of(result):
        mask = moving[t]
        if mask.mean() > _FEW:
            seen = cameras[t].rays()[mask] * result.depth[t][mask][:, None]
            track[t] = np.median(transform(result.cam2world[t], seen), axis=0)[[0, 2]]
    return track


@dataclass(frozen=True)
class _View:
    """Which part of the world, x and z, a box of the picture shows. Both axes have one scale."""

    box: tuple[float, float, float, float]  # left, top, right, bottom, pixels
    centre: np.ndarray  # (2,) world
    unit: float  # world units per pixel

    @classmethod
    def around(cls, box: tuple[float, float, float, float], points: np.ndarray, needed: np.ndarray) -> "_View":
        """Shows all of `needed` (N,2) and most of `points` (M,2): far outliers may lie outside."""
        bounds = [needed.min(axis=0), needed.max(axis=0)]
        if len(points):
            bounds += [*np.percentile(points, [3, 92], axis=0)]
        low, high = np.min(bounds, axis=0), np.max(bounds, axis=0)
        sides = np.array([box[2] - box[0], box[3] - box[1]])
        unit = float(((high - low) / (sides - 80)).max())
        return cls(box, (low + high) / 2, unit if unit > 0 else 1 / sides.min())

    @property
    def span(self) -> float:
        """World units from the bottom to the top."""
        return self.unit * (self.box[3] - self.box[1])

    @property
    def corners(self) -> tuple[np.ndarray, np.ndarray]:
        """World (2,) of the lower left and of the upper right corner."""
        left, top, right, bottom = self.box
        half = np.array([right - left, bottom - top]) / 2 * self.unit
        return self.centre - half, self.centre + half

    def pixels(self, places: np.ndarray) -> np.ndarray:
        """World (N,2) -> picture (N,2)."""
        middle = (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2
        return middle + (places - self.centre) / self.unit * [1, -1]

    def axes(self, figure: Figure) -> Axes:
        """Axes of the figure that show this."""
        left, top, right, bottom = self.box
        width, height = _SIZE
        axes = figure.add_axes((left / width, 1 - bottom / height, (right - left) / width, (bottom - top) / height))
        (left, bottom), (right, top) = self.corners
        axes.set(xlim=(left, right), ylim=(bottom, top))
        axes.spines[:].set_color(_RIM)
        return axes


# ---- drawing


def _rgb(colour: Sequence[float], alpha: float = 1) -> tuple[float, ...]:
    return (*(value / 255 for value in colour), alpha)


def _draw_ground(axes, view, points, colours):
    """The static points from above, pale on white."""
    low, high = view.corners
    sides = np.array([view.box[2] - view.box[0], view.box[3] - view.box[1]])
    cell = int(np.clip(1.6 * np.sqrt(sides.prod() / max(len(points), 1)), 2, 10))  # pixels
    columns, rows = -(-sides // cell)
    column, row = np.floor((points - low) / (cell * view.unit)).astype(int).T
    inside = (column >= 0) & (column < columns) & (row >= 0) & (row < rows)
    index = row[inside] * columns + column[inside]
    count = np.bincount(index, minlength=rows * columns)
    sums = [np.bincount(index, colours[inside, c], rows * columns) for c in range(3)]
    mean = np.stack(sums, axis=-1) / np.maximum(count, 1)[:, None]
    typical = np.median(count[count > 0]) if count.any() else 1
    opacity = 0.5 * (1 - np.exp(-1.5 * count / typical))[:, None]
    shade = (255 + opacity * (mean - 255)).reshape(rows, columns, 3).astype(np.float32)
    fine = cv2.resize(shade, None, fx=cell, fy=cell, interpolation=cv2.INTER_LINEAR).round().astype(np.uint8)
    right, top = low + np.array([columns, rows]) * cell * view.unit
    axes.imshow(fine, extent=(low[0], right, low[1], top), origin="lower", aspect="auto", interpolation="nearest")
    axes.set(xlim=(low[0], high[0]), ylim=(low[1], high[1]))


def _label(axes, info):
    metres = " (m)" if info.get("scale") else ""
    axes.locator_params(steps=[1, 2, 5, 10])
    axes.set_axisbelow(False)
    axes.grid(color="#5a6478", alpha=0.12, linewidth=_POINT)
    axes.tick_params(length=0, labelsize=14 * _POINT, labelcolor=_FAINT, pad=6)
    axes.set_xlabel(f"x, to the right of the first camera{metres}", color=_FAINT, size=15 * _POINT)
    axes.set_title(f"z, ahead of the first camera{metres}", color=_FAINT, size=15 * _POINT, loc="left", pad=5)


def _draw_track(axes, track):
    known = track[np.isfinite(track[:, 0])]
    axes.plot(*track.T, color=_rgb(TRACK, 0.47), linewidth=2 * _POINT)
    axes.plot(*known.T, "o", color=_rgb(TRACK), markersize=7 * _POINT, markeredgewidth=0)
    axes.plot(*known[-1:].T, "o", **_marker(TRACK, 12))


def _marker(colour, size):
    return {
        "color": _rgb(colour),
        "markersize": size * _POINT,
        "markeredgecolor": "white",
        "markeredgewidth": 1.5 * _POINT,
        "linestyle": "none",
    }


def _draw_path(axes, view, result, places, reach):
    """The path with its start, end and wedges of `reach` pixels; a path of no length is its start with the wedges."""
    n_frames = len(places)
    corners = np.array([[-0.5, 0, 1], [result.depth.shape[2] - 0.5, 0, 1]])
    for t in np.unique(np.linspace(0, n_frames - 1, min(n_frames, _WEDGES)).round().astype(int)):
        corners[:, 1] = result.intrinsics[t][1, 2]
        rays = (corners @ np.linalg.inv(result.intrinsics[t]).T @ result.cam2world[t][:3, :3].T)[:, [0, 2]]
        rays /= np.maximum(np.linalg.norm(rays, axis=1, keepdims=True), 1e-9)
        wedge = np.array([places[t], *(places[t] + reach * view.unit * rays)])
        axes.add_patch(Polygon(wedge, facecolor=_rgb(PATH, 0.1), edgecolor=_rgb(PATH, 0.43), linewidth=_POINT))
    if n_frames > 1:
        axes.plot(*places.T, color=_rgb(PATH), linewidth=3 * _POINT, solid_joinstyle="round")
        axes.plot(*places[-1:].T, "s", **_marker(END, 13))
    axes.plot(*places[:1].T, "o", **_marker(START, 15))


def _draw_paths(axes, paths):
    """Several paths, (T,2) each: the first is the widest, so that those that lie on it leave its rims to be seen."""
    widths = 2.2 + 2.2 * np.arange(len(paths))[::-1]
    for places, colour, width in zip(paths, _SEVERAL, widths):
        axes.plot(*places.T, color=_rgb(colour), linewidth=width * _POINT, solid_joinstyle="round")
        axes.plot(*places[-1:].T, "s", **_marker(colour, 9 + width / 2))
        axes.plot(*places[:1].T, "o", **_marker(colour, 11 + width / 2))


def _draw_inset(figure, view, places, drawn, draw):
    """The path (N,2) enlarged, in the corner of the plot where least of what is `drawn` (M,2) lies.

    draw(axes, view) draws it.
    """
    left, top, right, bottom = view.box
    boxes = [
        (x, y, x + _INSET[0], y + _INSET[1])
        for y in (bottom - _INSET[1] - 12, top + 12)
        for x in (right - _INSET[0] - 12, left + 12)
    ]
    pixels = view.pixels(drawn)
    box = min(boxes, key=lambda b: ((pixels > b[:2]) & (pixels < b[2:])).all(axis=1).sum())
    inner = _View.around((box[0] + 20, box[1] + 40, box[2] - 20, box[3] - 5), places, places)
    frame = _View(box, inner.centre + [0, 17.5 * inner.unit], inner.unit)  # as much higher as the box's middle is
    axes = frame.axes(figure)
    axes.set(xticks=[], yticks=[], facecolor=(1, 1, 1, 0.92))
    draw(axes, frame)
    words = f"The camera's path, {view.unit / frame.unit:.0f} times larger"
    axes.text(10 / _INSET[0], 1 - 15 / _INSET[1], words, transform=axes.transAxes, va="center", color=_INK, size=10.8)


def _draw_title(figure, title, info):
    left, _, right, _ = _BOX
    width, height = _SIZE
    figure.text(left / width, 1 - 28 / height, title, color=_INK, size=18.5, va="center")
    note = "Lengths are in metres." if info.get("scale") else "The scale is arbitrary: lengths have no unit."
    figure.text(right / width, 1 - 28 / height, note, color=_FAINT, size=11, va="center", ha="right")


def _draw_words(figure, info, has_path, moves):
    _draw_title(figure, "The camera's path from above", info)
    wedge = {"marker": "v", "markersize": 12, "markeredgecolor": _rgb(PATH, 0.5), "markerfacecolor": _rgb(PATH, 0.14)}
    entries = [
        (True, "start", {"marker": "o", **_marker(START, 14)}),
        (has_path, "end", {"marker": "s", **_marker(END, 12)}),
        (has_path, "camera", {"color": _rgb(PATH), "linewidth": 3 * _POINT}),
        (True, "where it looked", {"linestyle": "none", **wedge}),
        (moves, "middle of what moves", {"marker": "o", **_marker(TRACK, 11)}),
        (True, "scene", {"marker": "s", **_marker((196, 200, 196), 14)}),
    ]
    _draw_legend(figure, [(label, look) for shown, label, look in entries if shown])


def _draw_legend(figure, entries):
    """Of (label, look of its line or marker), in a row as long as the plot; smaller words where there are many."""
    handles = [Line2D([], [], label=label, **look) for label, look in entries]
    words = sum(len(label) + 5 for label, _ in entries)
    figure.legend(
        handles=handles,
        loc="center left",
        bbox_to_anchor=((_BOX[0] - 6) / _SIZE[0], 1 - 60 / _SIZE[1]),
        ncols=len(handles),
        frameon=False,
        fontsize=min(12, 12 * _LEGEND / words),
        labelcolor=_INK,
        borderpad=0,
        borderaxespad=0,
        handlelength=1.4,
        handletextpad=0.5,
        columnspacing=1.5,
    )
