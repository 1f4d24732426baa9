"""The loop over many items: one after another in this process, or side by side on a Ray cluster."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from .. import memory
from ..backbones.base import Progress
from ..errors import InputError

Work = Callable[[Any, Progress], Any]  # (item, progress) -> its result; keeps what is loaded between items


@dataclass(frozen=True)
class Failure:
    """In place of the result of an item that could not be done."""

    reason: str  # a sentence


class _Stopped(BaseException):
    """Carries what `progress` raised past all that takes an exception for the failure of an item."""


def run(
    items: Mapping[str, Any], make: Callable[[], Work], progress: Progress, address: str | None = None, gpu: bool = True
) -> Iterator[tuple[str, Any]]:
    """(name, result or `Failure`) of all items, as they are done; what one of them raises is its `Failure`.

    items: name -> item. make() gives what works on them, in the process that does. address: None = this process, one
    after another, in their order; else `ray.init`'s: "local", "auto" or "HOST:PORT", see `cluster.run`; items and
    results are then pickled, and `gpu` says whether the work wants one. progress(fraction of all, text) may raise to
    end it all. Raises `InputError` if Ray is not installed or its cluster cannot be reached.
    """
    if address is not None:
        from . import cluster

        yield from cluster.run(items, make, progress, address, gpu)
        return
    work = make()
    for k, (name, item) in enumerate(items.items()):

        def report(fraction: float, text: str, k: int = k, name: str = name) -> None:
            try:
                progress((k + fraction) / len(items), f"{name}: {text[:1].lower()}{text[1:]}")
            except Exception as error:
                raise _Stopped from error

        try:
            outcome = attempt(work, item, report)
        except _Stopped as stopped:
            raise stopped.__cause__ or stopped from None
        yield name, outcome


def attempt(work: Work, item: Any, progress: Progress) -> Any:
    """The result of an item, or its `Failure`."""
    try:
        return work(item, progress)
    except Exception as error:  # noqa: BLE001 - one broken item never ends the run
        return Failure(reason(error))


def reason(error: Exception) -> str:
    """What to say of an item that raised this."""
    if isinstance(error, InputError):
        return str(error)
    return "out of memory" if memory.ran_out(error) else f"{type(error).__name__}: {error}"
