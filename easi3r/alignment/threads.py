"""Frames are worked on in parallel by threads of our own; the linear algebra below them then has to keep to one."""

import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from threadpoolctl import threadpool_limits

WORKERS = max(1, min(8, os.cpu_count() or 1))
_lock = threading.Lock()
_active: dict[str, Any] = {"runs": 0, "limit": None}


@contextmanager
def workers() -> Iterator[ThreadPoolExecutor]:
    """An executor for work per frame. Matrix libraries run one thread per call inside, restored when the last run ends.

    Their own threads wait by spinning: on a busy machine small products then take ten times as long.
    """
    with _lock:
        if _active["runs"] == 0:
            _active["limit"] = threadpool_limits(1, "blas")
        _active["runs"] += 1
    try:
        with ThreadPoolExecutor(WORKERS) as pool:
            yield pool
    finally:
        with _lock:
            _active["runs"] -= 1
            if _active["runs"] == 0:
                _active["limit"].restore_original_limits()
