"""compare(): each system in turn on the same frames."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np

from .. import memory, video
from ..backbones.base import Progress, check_progress
from ..backbones.shared import Encodings
from ..errors import InputError
from ..options import Options, check_options
from ..own_masks import OwnMasks, read_masks
from ..pipeline import reconstruct
from ..reconstruction import Reconstruction
from ..scoring import check_truth
from ..system import System, load_system
from ..video import Video
from .choice import NONE, OWN, Entry, choose
from .files import Comparison
from .table import Row, row
from .world import find_similarity

Run = Callable[..., Reconstruction]  # as `reconstruct`: (video, system, options, masks, progress)
Load = Callable[[Entry, Progress], System]
_EXPECTED = InputError, MemoryError, RuntimeError, cv2.error  # the last three are bugs, unless memory is wanting
_LOADING = 0.05  # of an entry's part of the progress bar


def compare(
    source: Any,
    names: Sequence[str | System],
    options: Options | None = None,
    masks: Any = None,
    truth: Any = None,
    weights: Mapping[str, str] | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """What two to four systems make of a clip; returns a `Comparison`.

    source, options, masks, progress: see `reconstruct`; what `progress` raises ends it all. names: see `choose`; a
    plain name always finds its own masks. truth: see `scoring.score`, for figures against it. weights: system -> what
    `load_system` takes, where they are not the registry's.

    Where encoders have equal weights, frames are encoded once. A system that cannot be loaded or run, or runs out of
    memory, is a row of the table with the reason. Raises `InputError` if that is so of all, if the names, the clip, the
    masks or the truth cannot be used.
    """
    entries = choose(names, weights, masks is not None)
    return run_all(source, entries, check_options(options), masks, truth, check_progress(progress))


def _load(entry: Entry, progress: Progress) -> System:
    return entry.system or load_system(entry.base, entry.weights, progress=progress)


def run_all(
    source: Any,
    entries: Sequence[Entry],
    options: Options,
    masks: Any,
    truth: Any,
    progress: Progress,
    load: Load = _load,
    run: Run = reconstruct,
) -> Comparison:
    """`compare` of entries; load and run may be others' where systems are shared or a GPU is lent."""
    clips = _Clips(source, options, masks, truth)
    found: dict[str, Reconstruction] = {}
    failures: dict[str, str] = {}
    spent: dict[str, dict] = {}
    encodings = Encodings()
    system, loaded = None, None  # the last one, and of which base: the next may be the same with other masks
    for k, entry in enumerate(entries):

        def report(fraction: float, text: str, k: int = k, label: str = entry.label) -> None:
            progress((k + fraction) / len(entries), f"{label}: {text[:1].lower()}{text[1:]}")

        report(0, "Loading")
        try:
            if system is None or loaded != (entry.base, entry.system):
                system = None  # frees the one before
                memory.release()
                system = encodings.shared_by(load(entry, lambda f, text: report(_LOADING * f, text)))
                loaded = entry.base, entry.system
        except _EXPECTED as error:
            failures[entry.name] = _sentence(error)
            continue
        clip, own = clips.at(system)  # what is wrong with these is wrong for all
        try:
            peak, began = memory.Peak(system.device), time.perf_counter()
            given = None if entry.masks == OWN else _nothing(clip) if entry.masks == NONE else own
            size = None if found else options.scale  # the others are brought into the world of the first
            followed = replace(options, sam2=options.sam2 and entry.masks != NONE, scale=size)
            result = run(clip, system, followed, given, lambda f, text: report(_LOADING + (1 - _LOADING) * f, text))
            spent[entry.name] = {"seconds": round(time.perf_counter() - began, 2), **peak.used()}
            found[entry.name] = _named(result, entry)
        except _EXPECTED as error:
            failures[entry.name] = _sentence(error)
    if not found:
        raise InputError("No system could be run. " + " ".join(f"{e.label}: {failures[e.name]}" for e in entries))
    return _together(entries, found, failures, spent, truth)


class _Clips:
    """The clip at the working sizes of the systems, decoded once for each, and the user's masks for it."""

    def __init__(self, source: Any, options: Options, masks: Any, truth: Any) -> None:
        self._source, self._options, self._masks, self._truth = source, options, masks, truth
        self._read: dict[tuple[int, int], tuple[Video, OwnMasks | None]] = {}

    def at(self, system: System) -> tuple[Video, OwnMasks | None]:
        size = system.max_side, system.patch
        if size not in self._read:
            clip = video.read(self._source, self._options.max_frames, *size, self._options.shot)
            if self._truth is not None:
                check_truth(self._truth, clip.framing.source_size)
            self._read[size] = clip, None if self._masks is None else read_masks(self._masks, clip)
        return self._read[size]


def _nothing(clip):
    """Masks that say of every frame that nothing moves."""
    return OwnMasks(np.zeros(clip.frames.shape[:3], bool), np.ones(len(clip.frames), bool), ())


def _sentence(error: Exception) -> str:
    """For the table, why there is no result; what is a bug is raised again."""
    if isinstance(error, InputError):
        return str(error)
    if memory.ran_out(error):
        return "The memory of this machine did not suffice; use fewer frames, or a machine with more."
    raise error


def _named(result, entry):
    """The result, and how it was made, as people are told."""
    info = result.info
    if entry.masks == NONE:
        kept = [said for said in info["warnings"] if not said.startswith("Nothing in this clip was found to move")]
        info = {**info, "masks": "none: everything was taken for static", "warnings": kept}
    return replace(result, info={**info, "system": entry.label})


def _size_of(first, label, scale):
    """What the `info` of a result says of its unit once it has that of the first, `scale` times its own."""
    known = first.info.get("scale")
    return {"scale": {**known, "metres_per_unit": scale, "from": f"{known['from']}, in {label}"}} if known else {}


def _together(entries, found, failures, spent, truth):
    """The `Comparison`, all results in the world of the first."""
    names = list(found)
    first, label = found[names[0]], next(e.label for e in entries if e.name == names[0])
    unit = float(np.median(first.depth))
    results, rows = {names[0]: first}, {}
    for entry in entries:
        if entry.name in failures:
            rows[entry.name] = Row(entry.name, entry.label, failures[entry.name])
            continue
        result, how = found[entry.name], "it is the first"
        if result is not first:
            moved = find_similarity(result, first)
            result, how = moved.of(result), moved.how
            said = f"the first camera of {label}, with which this was compared; by {how}"
            result = replace(result, info={**result.info, "world": said, **_size_of(first, label, moved.scale)})
            results[entry.name] = result
        rows[entry.name] = row(entry.name, entry.label, result, unit, how, truth, **spent[entry.name])
    return Comparison(results, rows, tuple(entries), first.info["source"])
