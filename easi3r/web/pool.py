"""Systems for all visitors: a file of weights is loaded once, whatever systems use it, and planning loads nothing."""

import logging
import threading
from typing import Any

from ..backbones.base import Progress
from ..backbones.weights import has_gpu
from ..errors import InputError
from ..options import Options
from ..reconstruction import Reconstruction
from ..system import Plan, System, SystemCard, registry, systems
from ..system.planning import START

FEW, SMALL = 8, 512 * 288 // 2  # frames; pixels of a frame
_log = logging.getLogger(__name__)


class Pool:
    """Networks by their weights. One visitor's load holds up only those who want the same weights."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._networks: dict[str, Any] = {}
        self._loading: dict[str, threading.Lock] = {}
        self._seconds_each: dict[str, float] = {}  # by system, per pair or frame, what its last run took
        self._closed = False

    def system(self, name: str, progress: Progress | None = None) -> System:
        """The system "auto" or of this name; progress(fraction, text) while its weights are fetched, may raise.

        Raises `InputError` if the name is unknown or its weights cannot be had.
        """
        if name == "auto":
            return registry.automatic(lambda found: self.system(found, progress))
        row = registry.row_of(name)
        network = self._network(row, progress)
        return row.recipe(row.card, network, registry.note_of(row.card, network))

    def _network(self, row, progress):
        key = row.card.weights or row.card.name
        with self._guard:
            lock = self._loading.setdefault(key, threading.Lock())
        while not lock.acquire(timeout=0.5):
            if progress is not None:
                progress(0, "Waiting for weights that another visitor is fetching")
        try:
            if key not in self._networks:
                if self._closed and row.card.weights:
                    raise InputError(
                        f"The weights of {row.card.label} could not be fetched when this Space started; "
                        "use the preview."
                    )
                self._networks[key] = row.load(row.card.weights, None, None, progress)
            return self._networks[key]
        finally:
            lock.release()

    def load_all(self) -> None:
        """Load what there is, and nothing any more after that: on ZeroGPU, weights go to the GPU at start."""
        for card in systems():
            try:
                self.system(card.name)
            except InputError as error:
                _log.warning("%s: %s", card.name, error)
        self._closed = True

    def networks(self) -> list[Any]:
        """What is loaded."""
        return list(self._networks.values())

    def plan(self, name: str, n_frames: int, options: Options) -> tuple[SystemCard, Plan]:
        """What a run of "auto" or a system will take, and which system that is. Loads and fetches nothing.

        Raises `InputError` for an unknown name.
        """
        if name == "auto":
            name = registry.likely()
        row = registry.row_of(name)
        card = row.card
        network = self._networks.get(card.weights or card.name)
        device = network.device if network else "cuda" if card.weights and has_gpu() else "cpu"
        loaded = network is not None or card.weights is None or registry.is_cached(name)
        return card, row.plan(card, n_frames, options, device, loaded, self._seconds_each.get(name))

    def note_run(self, system: System, result: Reconstruction) -> None:
        """Let plans follow what a run took: seconds of computing, not those of waiting for a GPU.

        A run of few frames, or of small ones, tells nothing of others.
        """
        n_frames, height, width = result.depth.shape
        if n_frames < FEW or height * width < SMALL:
            return
        if count := result.info.get("pairs", n_frames):
            seconds = sum(spent for step, spent in result.info["seconds"].items() if step != "sam2")
            self._seconds_each[system.card.name] = max(0.0, seconds - START) / count


POOL = Pool()  # of this process, and on ZeroGPU of the processes forked from it
