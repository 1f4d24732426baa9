"""Which mask of the user belongs to which frame: by number, by time, or because there are as many."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from . import stills
from .errors import InputError
from .sources import check_file
from .video import Video


def earlier_result(paths: Sequence[Path], clip: Video) -> list[int] | None:
    """The frame of the source that each picture of a result's folder `masks` belongs to; None if they are others.

    They are numbered by frame used. Which these were is told by cameras.json beside the folder; without it, as many
    pictures as frames used of just the working size can be no others, unless that is the size of the clip too.
    """
    if any(not re.fullmatch(r"[0-9]{5}\.png", path.name) for path in paths):
        return None
    places, folder = [int(path.stem) for path in paths], paths[0].absolute().parent
    used = list(clip.positions) if sorted(places) == list(range(len(clip.positions))) else []
    together = all(path.absolute().parent == folder for path in paths)
    if folder.name == "masks" and together and (folder.parent / "cameras.json").is_file():
        used = _source_frames(folder.parent / "cameras.json")
    else:
        with stills.opened(check_file(paths[0])) as image:
            used = used if image.size == clip.framing.size != clip.framing.source_size else []
    return [int(used[place]) for place in places] if max(places) < len(used) else None


def _source_frames(path):
    """The frame of the source of each frame used, from a cameras.json of ours; [] if that is another or an old one."""
    try:
        return [int(frame["source_frame"]) for frame in json.loads(path.read_text(encoding="utf-8"))["frames"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def numbers_in(stems: Sequence[str]) -> list[int] | None:
    """The number of each of `stems`: of those in it the one that counts; None if they have none in common."""
    runs = [tuple(map(int, re.findall(r"[0-9]+", stem))) for stem in stems]
    columns = list(zip(*runs)) if len({len(run) for run in runs}) == 1 else []
    counting = [column for column in columns if len(set(column)) == len(column)]
    if len(stems) == 1 or not counting:  # the last one, unless all have it alike
        return next((list(c) for c in reversed(columns) if len(stems) == 1 or len(set(c)) > 1), None)
    # Frames go up in steps of 1, times and scores in larger; the last of two that do is the frame.
    return list(min(reversed(counting), key=lambda c: max(c) - min(c)))


def pick(places: Sequence[int], clip: Video) -> np.ndarray:
    """Which mask belongs to each frame used, where mask k is that of the frame at `places`[k] of the source."""
    masks = {place: k for k, place in enumerate(places)}
    return np.array([masks.get(int(position), -1) for position in clip.positions])


def first_only(clip: Video) -> np.ndarray:
    """The only mask belongs to the first frame of the source."""
    return pick([0], clip)


def by_count(label: str, n: int, clip: Video) -> np.ndarray:
    """As many masks as frames used, or as the clip has, in order. Else `InputError`."""
    used = len(clip.frames)
    if n == used:
        return np.arange(used)
    if n == clip.n_source_frames:
        return clip.positions.copy()
    raise InputError(
        f"{label} has {n} frames; give {used}, one for every frame used, or {clip.n_source_frames}, "
        "one for every frame of the clip."
    )


def nearest(seconds: np.ndarray, wanted: np.ndarray, reach: float) -> np.ndarray:
    """Index of the mask nearest to each time; -1 where it is more than `reach` seconds away: that of another frame."""
    distance = np.abs(seconds[None] - wanted[:, None])  # (T, masks)
    closest = np.argmin(distance, axis=1)
    return np.where(distance.min(axis=1) <= reach + 0.002, closest, -1)  # clocks count in milliseconds
