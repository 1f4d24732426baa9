"""`runner.run` on Ray: an actor per GPU, or per few cores, each of which has one item at a time."""

import logging
import os
import socket
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from types import ModuleType
from typing import Any

from .. import __version__, threads
from ..backbones.base import Progress
from ..errors import InputError, shown
from .runner import Failure, Work, attempt

# of an actor without a GPU, if its machine has as many: 12 clips of 8 frames took two actors of a core each 211 s and a
# process with two cores 220 s, so that more, smaller actors would only take more memory
CORES = 2
_TRIES = 2  # of an item whose worker dies: once more, on another
_TICK = 1.0  # seconds between two looks at how far the actors are
_ANSWER = 5.0  # seconds for the cluster to answer; Ray itself tries for minutes
# An HTTP/2 client's first words, preface and empty settings (RFC 9113, 3.4), which every gRPC server answers with its
# own settings, frames of type 4: on another port, such as that of the dashboard, Ray would wait for minutes.
_HELLO, _SETTINGS = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0]), 4


def run(
    items: Mapping[str, Any], make: Callable[[], Work], progress: Progress, address: str, gpu: bool
) -> Iterator[tuple[str, Any]]:
    """See `runner.run`. An item whose worker, or its machine, dies is given once more to another.

    All machines need this version of easi3r, and the same paths.
    """
    try:
        import ray
    except ImportError:
        raise InputError('--address needs Ray, which is not installed; pip install ".[ray]".') from None
    ours = not ray.is_initialized()
    if ours:
        progress(0, "Connecting to the cluster")
        _connect(ray, address)
    try:
        yield from _spread(ray, items, make, progress, gpu)
    finally:
        if ours:
            ray.shutdown()


def _connect(ray: ModuleType, address: str) -> None:
    told = address if address == "local" else os.environ.get("RAY_ADDRESS") or address  # as Ray has it
    host, _, port = told.rpartition(":")
    if host and port.isdecimal() and "/" not in host and not _answers(host, int(port)):
        raise InputError(
            f"No Ray cluster answers at {shown(told)}; start one (ray start --head), or check the address and port."
        )
    try:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
    except (ConnectionError, ValueError, RuntimeError, OSError, AssertionError, ImportError) as error:
        lines = str(error).strip().splitlines() or [type(error).__name__]
        raise InputError(f"The Ray cluster {shown(told)} cannot be used: {lines[0].rstrip('.')}.") from None


def _answers(host, port):
    """Whether a gRPC server listens there."""
    try:
        with socket.create_connection((host.strip("[]"), port), timeout=_ANSWER) as connection:
            if os.environ.get("RAY_USE_TLS", "0") == "1":
                return True
            connection.sendall(_HELLO)
            return connection.recv(9)[3:4] == bytes([_SETTINGS])
    except OSError:
        return False


class _Actor:
    """Holds what is loaded. Two of its methods may run at once, so that it can be asked how far it is."""

    def __init__(self, make: Callable[[], Work], cores: int) -> None:
        threads.keep_to(cores)
        self._work, self._fraction = make(), 0.0

    def ready(self) -> str:
        return __version__

    def fraction(self) -> float:
        return self._fraction

    def do(self, item: Any) -> Any:
        return attempt(self._work, item, self._note)

    def _note(self, fraction, text):
        self._fraction = fraction


def _spread(
    ray: ModuleType, items: Mapping[str, Any], make: Callable[[], Work], progress: Progress, gpu: bool
) -> Iterator[tuple[str, Any]]:
    """The items over actors: no actor has more than one, so that what is slow or dies holds up no other."""
    start, places = _places(ray, make, gpu)
    waiting, tries, shares = deque(items), Counter[str](), dict.fromkeys(items, 0.0)
    # reference of what an actor is at -> (actor, name of the item; None: it starts, once there is room)
    busy: dict[Any, tuple[Any, str | None]] = {}
    idle: list[Any] = []
    done = starts = 0
    most = min(places, len(items))
    try:
        while done < len(items):
            while len(busy) + len(idle) < min(most, len(items) - done) and starts < most + _TRIES * len(items):
                actor, starts = start(), starts + 1
                busy[actor.ready.remote()] = actor, None
            while idle and waiting:
                actor, item = idle.pop(), waiting.popleft()
                busy[actor.do.remote(items[item])] = actor, item
            if not busy:  # every worker that was started has died
                yield from ((item, Failure("No worker could be kept running on the cluster.")) for item in waiting)
                return
            ended, _ = ray.wait(list(busy), timeout=_TICK)
            for reference in ended:
                actor, name = busy.pop(reference)
                outcome, alive = _outcome(ray, reference)
                (idle.append if alive else ray.kill)(actor)
                if name is None:
                    _check(outcome, alive)
                    continue
                tries[name] += 1
                if not alive and tries[name] < _TRIES:
                    waiting.appendleft(name)
                else:
                    done, shares[name] = done + 1, 1.0
                    yield name, outcome
            if not ended:
                _ask(ray, busy, shares)
            running = sum(name is not None for _, name in busy.values())
            doing = f"{running} running" if running or done else "starting workers"
            progress(sum(shares.values()) / len(items), f"{done} of {len(items)} done, {doing}")
    finally:
        for actor in (*idle, *(actor for actor, _ in busy.values())):
            ray.kill(actor)


def _places(ray, make, gpu):
    """(start() of a new actor, how many the cluster has room for): a GPU each where there are some, else cores."""
    machines = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    processors, gpus = ([int(machine.get(kind, 0)) for machine in machines] for kind in ("CPU", "GPU"))
    gpu = gpu and any(gpus)
    if gpu:
        cores = min(CORES, min(max(1, n // g) for n, g in zip(processors, gpus) if g))
        most = sum(gpus)
    else:
        cores = max(1, min(CORES, max(processors, default=0)))
        most = sum(n // cores for n in processors)
    if not most:
        raise InputError("The Ray cluster has no processor to run on; add a machine to it.")
    # restarts are ours: an actor that Ray restarts keeps its item and waits for room, while others are idle
    kind = ray.remote(_Actor).options(num_cpus=cores, num_gpus=int(gpu), max_restarts=0, max_concurrency=2)
    return lambda: kind.remote(make, cores), most


def _outcome(ray, reference):
    """(what an actor returned, whether the actor lives)."""
    try:
        return ray.get(reference), True
    except ray.exceptions.RayTaskError as error:  # such as a result that cannot be sent
        return Failure(f"{type(error.cause).__name__}: {error.cause}"), True
    except ray.exceptions.RayError:
        return Failure("Its worker died, and once more on another; its machine may lack memory."), False


def _check(version, alive):
    if alive and version != __version__:
        raise InputError(f"The cluster has easi3r {version}, this is {__version__}; install the same on all machines.")


def _ask(ray, busy, shares):
    """Note how far the actors are, of those that answer."""
    asked = {actor.fraction.remote(): name for actor, name in busy.values() if name is not None}
    if asked:
        for reference in ray.wait(list(asked), num_returns=len(asked), timeout=_TICK)[0]:
            with suppress(ray.exceptions.RayError):
                shares[asked[reference]] = ray.get(reference)
