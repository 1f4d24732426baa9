"""The first loop of an evaluation: a system's predictions of a sequence as files."""

import json
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

import easi3r

from ..backbones.base import Progress
from ..errors import InputError
from ..options import Options
from ..paths import quoted
from ..scoring import place_in_source
from ..system import Estimate, System
from ..system.pairwise import Pairwise
from .predictions import write_geometry, write_masks
from .sequence import Sequence
from .working import working_video

_DONE = "run.json"  # of a prediction, written last
_LONG_DAVIS, _LONG_GRAPH = 95, "swinstride-4-noncyclic"  # beyond so many frames the published graph is smaller


@dataclass(frozen=True)
class Settings:
    """What a prediction hangs on, apart from the sequence."""

    set: str
    system: str  # as it was asked for
    protocol: str  # "paper": thresholds, graph and terms as published; "ours": the product's defaults
    flow: bool = True  # whether flow takes part in the alignment
    masks_only: bool = False  # nothing is aligned
    sam2: str | None = None  # weights of SAM 2, whose masks are then scored

    def options(self, n_frames: int) -> Options:
        """Those of a run over so many frames."""
        if self.protocol == "ours":
            return Options(flow=self.flow)
        options = Options(flow=self.flow, smooth=False, refine=False)  # as in Easi3R's copy of the published script
        long = self.set.startswith("davis") and n_frames > _LONG_DAVIS
        return replace(options, graph=_LONG_GRAPH) if long else options


def done(folder: Path, settings: Settings) -> float | None:
    """Seconds that the prediction in `folder` took, None: it is not complete. `InputError`: of other settings."""
    try:
        written = json.loads((folder / _DONE).read_text("utf-8"))
        made, seconds = dict(written["settings"]), float(written["seconds"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    differs = [f"{name}: {made.get(name)}" for name, value in asdict(settings).items() if made.get(name) != value]
    if differs:
        raise InputError(
            f"The predictions in {quoted(folder.parent)} were made with other options ({', '.join(differs)}); give "
            "those again, or another --out."
        )
    return seconds


def predict(
    sequence: Sequence, name: str, system: System, settings: Settings, folder: Path, progress: Progress
) -> float:
    """Run a system on a sequence and write `folder`, replacing what is there; returns the seconds of the run."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    clip = sequence.clip or working_video(sequence, name)
    options, began = settings.options(len(clip.frames)), time.perf_counter()
    if settings.masks_only:
        system = _without_alignment(system)
    result: Any
    if settings.protocol == "ours":
        result = easi3r.reconstruct(clip, system, options, progress=progress)
        masks = result.dynamic
    else:
        result = system.run(clip, options, None, progress)
        masks = result.motion.dynamic
    if settings.sam2 is not None:
        masks = _refine(masks, clip.frames, settings, progress)
    seconds = round(time.perf_counter() - began, 3)
    write_masks(folder, masks if sequence.clip is None else place_in_source(masks, clip.framing))
    if not settings.masks_only:
        write_geometry(folder, result.cam2world, result.intrinsics, result.depth, result.confidence)
    about = {"settings": asdict(settings), "seconds": seconds, "name": system.name, "info": result.info}
    (folder / _DONE).write_text(json.dumps(about, indent=1, default=str), encoding="utf-8")
    return seconds


def _refine(masks, frames, settings, progress):
    published = settings.protocol == "paper"
    return easi3r.refine_masks(
        masks, frames, method="sam2", weights=settings.sam2, published=published, progress=progress
    )


def _without_alignment(system):
    if not isinstance(system, Pairwise):
        raise InputError(f"{system.name} finds no masks of its own; leave out --masks-only.")
    return replace(system, align=_unaligned)


def _unaligned(store, frames, motion, options, fov, zoom, clock, info, known=None, device="cpu"):
    """In place of `steps.align`: masks, and no geometry."""
    poses, depth = np.tile(np.eye(4), (len(frames), 1, 1)), np.ones(frames.shape[:3], np.float32)
    return Estimate(poses, np.tile(np.eye(3), (len(frames), 1, 1)), depth, depth, motion, (), info)
