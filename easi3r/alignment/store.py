"""Keeps the streamed predictions in half precision: all pixels once, and a regular sample of them for the cameras."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterable, Iterator
from typing import IO, TYPE_CHECKING, Self

import numpy as np

from ..errors import InputError
from ..threads import in_order

if TYPE_CHECKING:
    from ..backbones.base import PairPrediction

# Bytes of predictions kept in memory; what comes after goes to a temporary file. Solving takes as much again with 300
# frames, and writing and reading 1.2 GB of them 3 % of the time.
MEMORY = 2**29
SAMPLES = 2400  # pixels per frame that the cameras are solved from

View = tuple[int, int]  # (e, side): the points that pair e has of its first (side 0) or second frame (side 1)


class Store:
    """Point maps and confidences of all usable pairs, to be filled with `add` and given to `solve`.

    A context manager: leaving it removes its temporary file. memory: bytes held before that file is used; samples:
    about how many pixels per frame the cameras are solved from.

    `ends`: (i, j) of every pair. `unit`: stored points times `unit` of their pair are the predicted ones (a power of
    two, so half precision loses nothing and never overflows). `dropped`: number of pairs without usable points, which
    are not kept. `grid` (N,): flat indices of the sampled pixels.
    """

    def __init__(self, memory: int = MEMORY, samples: int = SAMPLES) -> None:
        self.ends: list[tuple[int, int]] = []
        self.unit: list[float] = []
        self.dropped = 0
        self.grid = np.empty(0, int)
        self._shape: tuple[int, int] | None = None
        self._memory, self._samples, self._used = memory, samples, 0
        self._full: list[np.ndarray | int] = []  # (2,4,H*W) float16, or where in the file it starts
        self._sampled: list[np.ndarray] = []  # (2,4,N) float16
        self._file: IO[bytes] | None = None
        self._lock = threading.Lock()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    @property
    def shape(self) -> tuple[int, int]:
        """(H, W) of all predictions; raises InputError if there were none."""
        if self._shape is None:
            raise InputError("There are no predictions to align: give at least one pair of frames.")
        return self._shape

    def add(self, pair: PairPrediction) -> None:
        """Take one prediction. Points that are not finite are unknown; a pair without other points is dropped.

        Raises InputError if its size is not that of the first one.
        """
        self._check(pair)
        self._take(pair, self._packed(pair))

    def add_all(self, pairs: Iterable[PairPrediction]) -> None:
        """As `add` of one after the other as they come, beside the work of who makes them."""

        def checked() -> Iterator[PairPrediction]:
            for pair in pairs:
                self._check(pair)
                yield pair

        for pair, packed in in_order(lambda pair: (pair, self._packed(pair)), checked()):
            self._take(pair, packed)

    def _check(self, pair: PairPrediction) -> None:
        if self._shape is None:
            self._shape = pair.conf1.shape
            self.grid = _sample_grid(*self.shape, self._samples)
        if not pair.pts1.shape[:2] == pair.pts2.shape[:2] == pair.conf1.shape == pair.conf2.shape == self.shape:
            raise InputError(f"Pair ({pair.i}, {pair.j}) differs in size from the first pair, which is {self.shape}.")

    def _packed(self, pair: PairPrediction) -> tuple[float, np.ndarray] | None:
        """The unit of a pair and its points and confidences in it, (2,4,H*W) float16; None without points."""
        views = [_planes(pair.pts1, pair.conf1), _planes(pair.pts2, pair.conf2)]
        sizes = [float(np.abs(v[:3]).sum(dtype=np.float64)) / max(1, 3 * int(np.count_nonzero(v[3]))) for v in views]
        if min(sizes) < 1e-30:
            return None
        unit = 2.0 ** round(np.log2(max(sizes)))
        halves = np.empty((2, 4, views[0].shape[1]), np.float16)
        for half, view in zip(halves, views):
            view[:3] *= np.float32(1 / unit)
            half[:] = np.clip(view, -6e4, 6e4, out=view)
        return unit, halves

    def _take(self, pair: PairPrediction, packed: tuple[float, np.ndarray] | None) -> None:
        if packed is None:
            self.dropped += 1
            return
        unit, halves = packed
        self.ends.append((int(pair.i), int(pair.j)))
        self.unit.append(unit)
        self._sampled.append(halves[:, :, self.grid])
        self._keep(halves)

    def _keep(self, halves: np.ndarray) -> None:
        if self._used + halves.nbytes <= self._memory:
            self._used += halves.nbytes
            self._full.append(halves)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open until `close`
        try:
            self._full.append(self._file.tell())
            self._file.write(halves.data)
            self._file.flush()
        except OSError as error:
            folder = tempfile.gettempdir()
            raise InputError(
                f"The predictions do not fit on the disk of {folder} ({error.strerror}): free some "
                "space, or name another folder in TMPDIR."
            ) from error

    def sample(self, view: View) -> np.ndarray:
        """(4, N) float16: x, y, z, confidence of the sampled pixels; confidence 0 = unknown."""
        return self._sampled[view[0]][view[1]]

    def full(self, view: View) -> np.ndarray:
        """(4, H*W) float16: x, y, z, confidence of all pixels; confidence 0 = unknown."""
        held = self._full[view[0]]
        if isinstance(held, np.ndarray):
            return held[view[1]]
        assert self._file is not None
        size = 4 * self.shape[0] * self.shape[1]
        with self._lock:
            self._file.seek(held + view[1] * size * 2)
            raw = self._file.read(size * 2)
        return np.frombuffer(raw, np.float16).reshape(4, -1)

    def views(self, n_frames: int) -> list[list[View]]:
        """Per frame the list of views (e, side) that show it; raises InputError if a pair names another frame."""
        found: list[list[View]] = [[] for _ in range(n_frames)]
        for e, (i, j) in enumerate(self.ends):
            if not (0 <= i < n_frames and 0 <= j < n_frames):
                raise InputError(f"Pair ({i}, {j}) names a frame outside 0 to {n_frames - 1}.")
            found[i].append((e, 0))
            found[j].append((e, 1))
        return found

    def close(self) -> None:
        """Remove the temporary file, if there is one; the store is then of no use any more."""
        if self._file is not None:
            self._file.close()


def _planes(points: np.ndarray, confidence: np.ndarray) -> np.ndarray:
    """(4, H*W) float32, unknown pixels all zero; known ones have confidence between 1 and 6e4 (float16)."""
    planes = np.empty((4, confidence.size), np.float32)
    planes[:3] = np.asarray(points).reshape(-1, 3).T
    planes[3] = np.asarray(confidence).ravel()
    known = np.isfinite(planes).all(0) & (planes[3] > 0)
    planes[3] = np.clip(planes[3], 1, 6e4)
    planes[:, ~known] = 0
    return planes


def _sample_grid(height: int, width: int, samples: int) -> np.ndarray:
    """Flat indices of about `samples` pixels: every s-th row, every s-th column, shifted from row to row."""
    step = max(1, int(np.ceil(np.sqrt(height * width / samples))))
    rows = range(min(step // 2, height - 1), height, step)
    return np.concatenate([r * width + np.arange(k * 5 % step % width, width, step) for k, r in enumerate(rows)])
