"""Frames are worked on in parallel by threads of our own; the linear algebra below them then has to keep to one."""

import os
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, TypeVar

import cv2
from threadpoolctl import ThreadpoolController

# With 16 cores and a GPU, 65 frames take Easi3R 39.7 s with 8, 37.9 with 12 and 40.8 with 16: threads wait for Python.
WORKERS = max(1, min(12, os.cpu_count() or 1))
_lock = threading.Lock()
_active: dict[str, Any] = {"runs": 0, "limit": None}
_found: dict[str, Any] = {}


def keep_to(cores: int) -> None:
    """Let our threads and OpenCV's use so many cores, in a process that has them alone of a shared machine."""
    global WORKERS
    WORKERS = min(WORKERS, cores)
    cv2.setNumThreads(cores)


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """An executor for work per frame. Matrix libraries run one thread per call inside, restored when the last run ends,
    and so does torch in its threads.

    Their own threads wait by spinning: on a busy machine small products then take ten times as long.
    """
    with _lock:
        if _active["runs"] == 0:
            _active["limit"] = _libraries().limit(limits=1, user_api="blas")
        _active["runs"] += 1
    try:
        with ThreadPoolExecutor(WORKERS, initializer=_alone) as pool:
            yield pool
    finally:
        with _lock:
            _active["runs"] -= 1
            if _active["runs"] == 0:
                _active["limit"].restore_original_limits()


def _alone() -> None:
    """Let torch, in the thread that calls this, use no other."""
    if "torch" in sys.modules:
        sys.modules["torch"].get_num_threads()  # the first call in a thread sets what the next line changes
        _libraries().limit(limits=1, user_api="openmp")  # of this thread alone, unlike torch's own way


def _libraries() -> ThreadpoolController:
    """The libraries with threads of their own. Looking for them takes 6 ms, a hundred times what limiting them does, so
    it is done anew only after something has been imported.
    """
    if _found.get("imported") != len(sys.modules):
        _found.update(imported=len(sys.modules), libraries=ThreadpoolController())
    return _found["libraries"]


Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """`work(item)` of all items, in their order, by `workers`; few results are ever waiting to be taken.

    What the caller raises between two results, such as to cancel, ends it at once.
    """
    with workers() as pool:
        pending: deque = deque()
        try:
            for item in items:
                pending.append(pool.submit(work, item))
                if len(pending) > 2 * WORKERS:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()
