"""Arrays that lie on the disk where they are large: a clip of thousands of frames does not fit into memory."""

import mmap
import os
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

from .errors import InputError

# Bytes from which an array lies on the disk: 100 frames of 512 x 288 in colour have 44 MB, 1,000 of 128 x 80 have 31.
LARGE = 64 << 20


def room(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    """An array of zeros; a large one in a file without a name, which goes with it, also when the program is killed.

    Raises `InputError` if there is no room on the disk.
    """
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    if size < LARGE:
        return np.zeros(shape, dtype)
    with tempfile.TemporaryFile(prefix="easi3r-") as file:
        try:
            if hasattr(os, "posix_fallocate"):  # else writing to a full disk ends the program without a word
                os.posix_fallocate(file.fileno(), 0, size)
            return np.memmap(file, dtype, "w+", shape=shape)
        except OSError as error:
            raise InputError(
                f"There is no room for {size / 1e9:.1f} GB of results in {tempfile.gettempdir()} "
                f"({error.strerror}); make room there, or use fewer frames."
            ) from error


def let_go(*arrays: np.ndarray) -> None:
    """Take what lies on the disk out of memory; it comes back when it is looked at."""
    for array in arrays:
        pages = getattr(array, "_mmap", None)
        if isinstance(pages, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
            pages.madvise(mmap.MADV_DONTNEED)


def each(change: Callable[[np.ndarray], np.ndarray], array: np.ndarray, dtype: Any = None) -> np.ndarray:
    """`change(frame)` of every frame of an array (T,...), all of one shape; a large result lies on the disk."""
    first = change(array[0])
    changed = room((len(array), *first.shape), dtype or first.dtype)
    for t, frame in enumerate(array):
        changed[t] = change(frame)
        if t % 64 == 63:
            let_go(array, changed)
    return changed


def picked(array: np.ndarray, which: np.ndarray) -> np.ndarray:
    """`array[which]` of an array (T,...), which (T,) bool or (n,) whole numbers; itself where that is all of it."""
    numbers = np.flatnonzero(which) if which.dtype == bool else which
    if len(numbers) == len(array) and (numbers == np.arange(len(array))).all():
        return array
    found = room((len(numbers), *array.shape[1:]), array.dtype)
    for t, number in enumerate(numbers):
        found[t] = array[number]
    return found
