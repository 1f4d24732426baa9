"""A system on a clip of any length: all at once, in windows of neighbours, or in windows all over a slow clip."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..backbones.base import Progress
from ..options import Options
from ..own_masks import OwnMasks
from ..spans import AT_ONCE
from ..system.base import Estimate, Part, Stage, System
from ..system.base import stages as all_at_once
from ..system.steps import given_masks
from ..video import Video
from . import between, neighbours
from .kept import Kept
from .pace import spread
from .solving import Solver

SOLVING = 0.6  # of the progress bar, where not all frames are solved


def stages(
    system: System,
    video: Video,
    options: Options,
    masks: OwnMasks | None,
    progress: Progress,
    folder: Path | None = None,
) -> Iterator[Stage]:
    """As `system.base.stages`; a long clip goes through systems over pairs in windows.

    Where the picture changes slowly, frames all over the clip are solved first, see `pace`, then those between them.
    All stages but the last are then a `Part` of the clip, as those of windows are. Large arrays lie on the disk.
    folder: where windows that are solved are kept, and taken from if they are there.
    """
    n_frames, in_windows = len(video.frames), getattr(system, "in_windows", False)
    few = getattr(system, "each", AT_ONCE) if in_windows else n_frames
    numbers = spread(video.frames, few // 2) if n_frames > few else np.arange(n_frames)
    every = len(numbers) == n_frames
    if every and (n_frames <= AT_ONCE or not in_windows):
        yield from all_at_once(system, video, options, masks, progress)
        return
    kept = Kept(folder, system)
    given = given_masks(masks, video.frames.shape[:3])
    solver = Solver(system, video, given, kept)
    report = progress if every else lambda fraction, text: progress(SOLVING * fraction, text)
    found: Stage | None = None
    for found in neighbours.stages(solver.at(numbers), options, report):
        if isinstance(found, Part):
            yield replace(found, numbers=numbers[found.numbers])
    assert isinstance(found, Estimate)
    if not every:
        follow = lambda fraction, text: progress(SOLVING + (1 - SOLVING) * fraction, text)
        found = between.filled(video.frames, Part(found, numbers), given, follow)
    yield replace(found, warnings=(*filter(None, [kept.note]), *found.warnings))
