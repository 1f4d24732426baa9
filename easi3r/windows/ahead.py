"""Work on one window begins while the one before it is still worked on."""

import concurrent.futures
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator

from ..backbones.base import Progress
from ..system.base import Estimate

_TOLD = 0.1  # seconds after which progress is told again


class _Ended(Exception):
    """Nobody waits for the window any more."""


def in_turn(
    solve: Callable[[int, Progress], Estimate], numbers: Iterable[int], progress: Callable[[int], Progress], ahead: int
) -> Iterator[Estimate]:
    """`solve(number, progress)` of all numbers, in their order; so many are begun `ahead` of the first that is not
    through, by threads.

    progress(number): told by the caller's thread alone, of the first only. What it raises, such as to cancel, ends all.
    """
    if not ahead:
        yield from (solve(number, progress(number)) for number in numbers)
        return
    told: dict[int, tuple[float, str]] = {}
    ended = threading.Event()

    def work(number: int) -> Estimate:
        def report(fraction: float, text: str) -> None:
            if ended.is_set():
                raise _Ended
            told[number] = fraction, text

        return solve(number, report)

    def taken(number: int, found: concurrent.futures.Future[Estimate]) -> Estimate:
        while not concurrent.futures.wait([found], _TOLD).done:
            if number in told:
                progress(number)(*told[number])
        return found.result()

    with concurrent.futures.ThreadPoolExecutor(1 + ahead) as pool:
        pending: deque[tuple[int, concurrent.futures.Future[Estimate]]] = deque()
        try:
            for number in numbers:
                pending.append((number, pool.submit(work, number)))
                if len(pending) > ahead:
                    yield taken(*pending.popleft())
            while pending:
                yield taken(*pending.popleft())
        finally:
            ended.set()
            for _, found in pending:
                found.cancel()
