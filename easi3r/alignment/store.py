"""Keeps the streamed predictions in half precision: all pixels once, and a regular sample of them for the cameras."""

import tempfile
import threading

import numpy as np

MEMORY = 2 * 2**30  # bytes of predictions kept in memory; what comes after goes to a temporary file
SAMPLES = 2400  # pixels per frame that the cameras are solved from


class Store:
    """Point maps and confidences of all usable pairs.

    `ends` list of (i, j); `unit` list of float: stored points times `unit` are the predicted ones (a power of two, so
    half precision loses nothing and never overflows). A view is (e, side): side 0 = points of frame i, 1 = of frame j.
    """

    def __init__(self, memory=MEMORY, samples=SAMPLES):
        self.ends, self.unit, self.dropped = [], [], 0
        self.shape = None  # (H, W)
        self._memory, self._samples, self._used = memory, samples, 0
        self._full, self._sampled, self._file = [], [], None
        self._lock = threading.Lock()

    def add(self, pair):
        """Take one PairPrediction. Points that are not finite are unknown; a pair without other points is dropped."""
        if self.shape is None:
            self.shape = pair.conf1.shape
            self.grid = _sample_grid(*self.shape, self._samples)
        if not pair.pts1.shape[:2] == pair.pts2.shape[:2] == pair.conf1.shape == pair.conf2.shape == self.shape:
            raise ValueError(f"pair ({pair.i}, {pair.j}) differs in size from the first pair, which is {self.shape}")
        views = [_planes(pair.pts1, pair.conf1), _planes(pair.pts2, pair.conf2)]
        sizes = [float(np.abs(v[:3, v[3] > 0]).mean()) if (v[3] > 0).any() else 0.0 for v in views]
        if min(sizes) < 1e-30:
            self.dropped += 1
            return
        unit = 2.0 ** round(np.log2(max(sizes)))
        halves = np.empty((2, 4, views[0].shape[1]), np.float16)
        for half, view in zip(halves, views):
            half[:3] = np.clip(view[:3] / unit, -6e4, 6e4)
            half[3] = view[3]
        self.ends.append((int(pair.i), int(pair.j)))
        self.unit.append(unit)
        self._sampled.append(halves[:, :, self.grid])
        self._keep(halves)

    def _keep(self, halves):
        if self._used + halves.nbytes <= self._memory:
            self._used += halves.nbytes
            self._full.append(halves)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - open until `close`
        self._full.append(self._file.tell())
        self._file.write(halves.data)

    def sample(self, view):
        """(4, N) float16: x, y, z, confidence of the sampled pixels; confidence 0 = unknown."""
        return self._sampled[view[0]][view[1]]

    def full(self, view):
        """(4, H*W) float16: x, y, z, confidence of all pixels; confidence 0 = unknown."""
        held = self._full[view[0]]
        if isinstance(held, np.ndarray):
            return held[view[1]]
        size = 4 * self.shape[0] * self.shape[1]
        with self._lock:
            self._file.seek(held + view[1] * size * 2)
            raw = self._file.read(size * 2)
        return np.frombuffer(raw, np.float16).reshape(4, -1)

    def views(self, n_frames):
        """Per frame the list of views (e, side) that show it."""
        found = [[] for _ in range(n_frames)]
        for e, (i, j) in enumerate(self.ends):
            found[i].append((e, 0))
            found[j].append((e, 1))
        return found

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        self.close()

    def close(self):
        if self._file is not None:
            self._file.close()


def _planes(points, confidence):
    """(4, H*W) float32, unknown pixels all zero; known ones have confidence between 1 and 6e4 (float16)."""
    planes = np.empty((4, confidence.size), np.float32)
    planes[:3] = np.asarray(points).reshape(-1, 3).T
    planes[3] = np.asarray(confidence).ravel()
    known = np.isfinite(planes).all(0) & (planes[3] > 0)
    planes[3] = np.clip(planes[3], 1, 6e4)
    planes[:, ~known] = 0
    return planes


def _sample_grid(height, width, samples):
    """Flat indices of about `samples` pixels: every s-th row, every s-th column, shifted from row to row."""
    step = max(1, int(np.ceil(np.sqrt(height * width / samples))))
    rows = range(min(step // 2, height - 1), height, step)
    return np.concatenate([r * width + np.arange(k * 5 % step % width, width, step) for k, r in enumerate(rows)])
