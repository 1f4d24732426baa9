"""Clips of any length in flat memory: large arrays lie on disk, and what concerns a whole clip is told by some frames.

Up to `MANY` frames nothing is left out, so that short clips are as exact as ever.
"""

import mmap
import os
import tempfile
import weakref
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np

from .errors import InputError

MANY = 100  # frames that tell what holds for a clip, or for the surroundings of one of its frames
IN_MEMORY = 2**23  # bytes of an array that is kept in memory; the masks of 100 frames of 320 x 240
_OFTEN = 32  # frames after which the pages of mapped arrays are given back
_ours: weakref.WeakSet[mmap.mmap] = weakref.WeakSet()  # all maps that `zeros` has made


def zeros(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros; a large one lies in a file without a name, which goes with it, also if the program is killed.

    Raises `InputError` if there is no room on the disk.
    """
    size = int(np.prod(shape, dtype=np.int64)) * np.dtype(dtype).itemsize
    if size <= IN_MEMORY:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(prefix="easi3r-") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # a full disk is an error here, and the end of the process later
                os.posix_fallocate(file.fileno(), 0, size)
            array = np.memmap(file, dtype, "w+", shape=shape)
        except OSError as error:
            raise InputError(
                f"There is no room for {size / 1e9:.2f} GB of results in {tempfile.gettempdir()} ({error.strerror}); "
                "make room there, or use fewer frames."
            ) from error
    _ours.add(array._mmap)  # type: ignore[attr-defined]
    return np.asarray(array)


def laid_down(array: np.ndarray) -> np.ndarray:
    """The same array; a large one on disk, see `zeros`."""
    there = zeros(array.shape, array.dtype)
    there[...] = array
    return there


def choice(n_frames: int, most: int = MANY) -> np.ndarray:
    """At most so many indices below `n_frames`, evenly spread from the first to the last; all if they are no more."""
    return np.unique(np.linspace(0, n_frames - 1, min(n_frames, most)).round().astype(int))


def around(t: int, n_frames: int) -> range:
    """The `MANY` frames of a clip that are nearest to frame t; all if they are no more."""
    first = min(max(t - MANY // 2, 0), max(n_frames - MANY, 0))
    return range(first, min(first + MANY, n_frames))


class _Arrays(Protocol):
    @property
    def arrays(self) -> list[np.ndarray]: ...


def frames_of(source: _Arrays | Sequence[np.ndarray], indices: Iterable[int] | None = None) -> Iterator[int]:
    """The indices of all frames, or those given, one after the other, for work on a frame at a time.

    source: a result, or arrays (T,...). What such work has read of those on disk does not stay in the process's memory:
    the system keeps it as long as there is room.
    """
    arrays = source if isinstance(source, Sequence) else source.arrays
    for count, t in enumerate(range(len(arrays[0])) if indices is None else indices, 1):
        yield t
        if count % _OFTEN == 0:
            give_back(arrays)
    give_back(arrays)


def give_back(arrays: Sequence[np.ndarray]) -> None:
    """Take the pages of arrays on disk, these and our own, out of the process's memory; nothing is lost."""
    if not hasattr(mmap, "MADV_DONTNEED"):
        return
    for array in arrays:
        mapped = _mapped(array)
        if mapped is not None:
            mapped.madvise(mmap.MADV_DONTNEED)
    for mapped in list(_ours):
        mapped.madvise(mmap.MADV_DONTNEED)


def _mapped(array):
    """The map that an array lies in, if dropping its pages loses nothing: not where changes stay in memory."""
    while isinstance(array, np.ndarray):
        if isinstance(array, np.memmap) and isinstance(array.base, mmap.mmap):
            return None if array.mode == "c" else array.base
        array = array.base
    return None


def some(array: np.ndarray, most: int = MANY) -> np.ndarray:
    """Those of (T,...) that `choice` names; the array itself, not a copy, if they are all."""
    return array if len(array) <= most else array[choice(len(array), most)]


def each(change: Callable[[np.ndarray], np.ndarray], array: np.ndarray) -> np.ndarray:
    """`change(frame)` of every frame of an array (T,...), all of one shape and dtype."""
    first = change(array[0])
    changed = zeros((len(array), *first.shape), first.dtype)
    for t in frames_of([array, changed]):
        changed[t] = change(array[t])
    return changed


def picked(array: np.ndarray, which: np.ndarray) -> np.ndarray:
    """`array[which]` of an array (T,...), which (T,) bool or (n,) whole numbers; itself where that is all of it."""
    numbers = np.flatnonzero(which) if which.dtype == bool else which
    if len(numbers) == len(array) and (numbers == np.arange(len(array))).all():
        return array
    found = zeros((len(numbers), *array.shape[1:]), array.dtype)
    for t in frames_of([found, array]):
        found[t] = array[numbers[t]]
    return found
