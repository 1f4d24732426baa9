"""report.html: the table, and pictures of the sequences that came off worst. One file, nothing is fetched."""

import base64
import html
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from matplotlib.figure import Figure

from ..errors import InputError
from ..metrics import umeyama
from .datasets import DATASETS
from .predictions import read_cameras, read_depths, read_masks
from .protocol import matched
from .sequence import Sequence
from .working import placed, published_framing

WORST = 3  # sequences that are shown
_HIT, _TOO_MUCH, _MISSED = (60, 180, 75), (230, 60, 50), (60, 120, 230)  # colours of pixels, RGB
_STYLE = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem}pre{overflow:auto}"
    "img{max-width:100%}"
)


def worst(name: str, result: Mapping[str, Any]) -> list[str]:
    """Names of the worst sequences that were scored, the worst first: by JM, ATE or AbsRel, whichever the set has."""
    for metric, sign in (("JM", 1), ("ATE", -1), ("AbsRel_shift", -1)):
        scored = {key: e["metrics"][metric] for key, e in result["sequences"].items() if metric in e.get("metrics", {})}
        if scored:
            return sorted(scored, key=lambda key: sign * scored[key])[:WORST]
    return []


def page(name: str, table: str, said: list[str], shown: Mapping[str, tuple[Path, Path]]) -> str:
    """The page as HTML: the table, what is to be minded, pictures of `shown`: label -> (sequence, prediction)."""
    parts = [f"<pre>{html.escape(table)}</pre>", f"<pre>{html.escape(chr(10).join(said))}</pre>"]
    for label, (path, folder) in shown.items():
        parts.append(f"<h2>{html.escape(label)}</h2>")
        try:
            pictures = _pictures(DATASETS[name].load(path), folder)
        except InputError as error:  # what was scored may lack its pictures
            parts.append(f"<p>{html.escape(str(error))}</p>")
            continue
        parts += [f'<figure><img src="{url}" alt=""><figcaption>{text}</figcaption></figure>' for text, url in pictures]
    title = f"Easi3R evaluation: {html.escape(name)}"
    head = f'<meta charset="utf-8"><title>{title}</title><style>{_STYLE}</style>'
    return f'<!doctype html><html lang="en"><head>{head}</head><body><h1>{title}</h1>{"".join(parts)}</body></html>\n'


def _pictures(sequence: Sequence, folder: Path) -> list[tuple[str, str]]:
    """(caption, data address) of the frame with the worst mask, of the path, of the frame with the middle depth."""
    found = []
    if sequence.labels is not None:
        found.append(_mask_picture(sequence, read_masks(folder, sequence.frames)))
    if sequence.poses is not None:
        found.append(_path_picture(sequence, read_cameras(folder, sequence.frames)))
    if sequence.depth is not None and sequence.intrinsics is None:
        found.append(_depth_picture(sequence, read_depths(folder, sequence.frames)))
    return [picture for picture in found if picture]


def _mask_picture(sequence, masks):
    labels = [label() for label in sequence.labels]
    if sequence.clip is None:
        framing = published_framing(labels[0].shape[::-1], sequence.stretched)
        labels = [placed(label, framing) for label in labels]
        masks = {i: mask if mask.shape == labels[0].shape else placed(mask, framing) for i, mask in masks.items()}
    empty = np.zeros(labels[0].shape, bool)
    pairs = [(masks.get(i, empty), label) for i, label in enumerate(labels)]
    frame = int(np.argmin([(m & t).sum() / max(1, (m | t).sum()) if (m | t).any() else 1 for m, t in pairs]))
    mask, truth = pairs[frame]
    canvas = np.full((*mask.shape, 3), 40, np.uint8)
    try:
        picture = np.asarray(sequence.pictures[frame]())
        picture = framing.cut(picture) if sequence.clip is None else sequence.clip.framing.uncut(picture)
        canvas = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    except InputError:  # scoring needs no pictures
        pass
    canvas = canvas.astype(np.float32)
    for pixels, colour in ((mask & truth, _HIT), (mask & ~truth, _TOO_MUCH), (truth & ~mask, _MISSED)):
        canvas[pixels] = 0.5 * canvas[pixels] + 0.5 * np.array(colour)
    said = f"Frame {frame}, the worst mask: green right, red too much, blue missed"
    return said, _address(cv2.imencode(".png", canvas.astype(np.uint8)[..., ::-1])[1].tobytes())


def _path_picture(sequence, cameras):
    try:
        _, poses, truth = matched(sequence, cameras)
    except InputError:
        return None
    poses, truth = poses[:, :3, 3], truth[:, :3, 3]
    scale, rotation, shift = umeyama(poses, truth)
    aligned = scale * poses @ rotation.T + shift
    wide = np.argsort(-np.ptp(truth, axis=0))[:2]  # of the three axes the two on which the path is longest
    figure = Figure(figsize=(6, 4.5), layout="constrained")
    axes = figure.subplots()
    for path, label in ((truth, "true"), (aligned, "predicted, aligned")):
        axes.plot(*path[:, wide].T, "o-", markersize=3, label=label)
    axes.set_aspect("equal", "datalim")
    axes.legend()
    return f"Camera path along its axes {' and '.join('xyz'[k] for k in wide)}", _drawn(figure)


def _depth_picture(sequence, depths):
    if not depths:
        return None
    frame = sorted(depths)[len(depths) // 2]
    truth = sequence.depth[frame]()
    known = np.where(truth > 0, truth, np.nan)
    depth = cv2.resize(depths[frame], truth.shape[::-1], interpolation=cv2.INTER_CUBIC)
    depth = depth * np.nanmedian(known) / np.median(depth)
    figure = Figure(figsize=(9, 3), layout="constrained")
    low, high = np.nanpercentile(known, [2, 98])
    for axes, values, label in zip(figure.subplots(1, 2), (known, depth), ("true", "predicted, by medians")):
        axes.imshow(values, vmin=low, vmax=high, cmap="viridis")
        axes.set_title(label)
        axes.axis("off")
    return f"Depth of frame {frame}", _drawn(figure)


def _drawn(figure):
    stream = BytesIO()
    figure.savefig(stream, dpi=100)
    return _address(stream.getvalue())


def _address(png):
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"
