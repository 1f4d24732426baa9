"""Some frames of a clip, solved by a system as a clip of their own."""

from collections import deque
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..backbones.base import Progress
from ..large import picked
from ..options import Options
from ..own_masks import OwnMasks
from ..system.base import Estimate, Stage, System
from ..system.base import stages as all_at_once
from ..video import Video
from .kept import Kept

# Windows begun before the one before them is through, where there is a GPU, which would wait for the aligner else. On a
# CPU both would want the same cores, and a run that is killed would lose two windows instead of one.
AHEAD = 1


class Solver:
    """Of one clip; what was solved before is taken from what is kept."""

    def __init__(self, system: System, video: Video, masks: OwnMasks, kept: Kept) -> None:
        self._system, self.video, self._masks, self._kept = system, video, masks, kept

    @property
    def ahead(self) -> int:
        """Windows to be begun before the one before them is through, see `AHEAD`."""
        return 0 if self._system.device == "cpu" else AHEAD

    def at(self, numbers: np.ndarray) -> "Solver":
        """Of the clip of these frames alone."""
        if len(numbers) == len(self.video.frames):
            return self
        return Solver(self._system, self._part(numbers, picked), self._masks.at(numbers), self._kept)

    def stages(
        self, numbers: np.ndarray, options: Options, progress: Progress, masks: OwnMasks | None = None
    ) -> Iterator[Stage]:
        """As `system.base.stages`, of the frames with these numbers; masks: instead of the user's."""
        part = self._part(numbers, lambda frames, numbers: np.array(frames[numbers]))
        own = self._masks.at(numbers) if masks is None else masks
        found: Stage | None = self._kept.load(part.frames, own, options)
        if found is None:
            for found in all_at_once(self._system, part, options, own, progress):
                yield found
            assert isinstance(found, Estimate)  # as a system promises
            self._kept.save(found, part.frames, own, options)
        else:
            yield found

    def solve(
        self, numbers: np.ndarray, options: Options, progress: Progress, masks: OwnMasks | None = None
    ) -> Estimate:
        """The last of `stages`."""
        found = deque(self.stages(numbers, options, progress, masks), maxlen=1).pop()
        assert isinstance(found, Estimate)
        return found

    def _part(self, numbers, taken):
        video = self.video
        return replace(
            video,
            frames=taken(video.frames, numbers),
            timestamps=video.timestamps[numbers],
            positions=video.positions[numbers],
            shows=video.shows[numbers],
        )
