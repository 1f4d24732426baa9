"""Pair graphs: which frames the two-view network compares."""

import re
from collections.abc import Iterable

from .errors import InputError, shown

# four digits: windows wider than the longest run change nothing, and counting to a number of many digits takes for ever
_GRAPH = re.compile(
    r"(?:(?P<kind>swinstride|swin2stride|swin|oneref)-(?P<number>[0-9]{1,4})|(?P<complete>complete))"
    r"(?P<open>-noncyclic)?"
)
_ALLOWED = "swinstride-W, swin2stride-W, swin-W, oneref-R or complete, each optionally with -noncyclic (W 1 to 9999)"


def check_graph(graph: str) -> tuple[str, int | None, bool]:
    """Raise `InputError` unless `graph` names a pair graph. Returns (kind, number or None, cyclic)."""
    found = _GRAPH.fullmatch(graph) if isinstance(graph, str) else None
    if found is None or (found["kind"] not in (None, "oneref") and int(found["number"]) < 1):
        raise InputError(f"The pair graph {shown(graph)} is unknown; use {_ALLOWED}.")
    if found["complete"]:
        return "complete", None, False
    return found["kind"], int(found["number"]), not found["open"] and found["kind"] != "oneref"


def build(n_frames: int, graph: str = "swinstride-5-noncyclic") -> list[tuple[int, int]]:
    """Directed frame pairs of a clip: list of (i, j) with 0 <= i, j < n_frames and i != j.

    Offsets between the frames of a pair (spec: Easi3R section 1, MonST3R section 2.2):
    `swin-W` 1..W; `swinstride-W` 1, 3, 5, ... (W of them); `swin2stride-W` 1, 4, 7, ... (W of them); `oneref-R` frame R
    with every other; `complete` all. Without `-noncyclic` the windows wrap around the end of the clip.

    The first half holds each unordered pair once; the second half is the first one reversed, in the same order. One
    frame gives the single pair (0, 0): the frame is compared with itself.
    """
    kind, number, cyclic = check_graph(graph)
    if n_frames == 1:
        return [(0, 0)]
    if number is None:  # complete
        forward = [(i, j) for i in range(n_frames) for j in range(i + 1, n_frames)]
    elif kind == "oneref":
        if number >= n_frames:
            raise InputError(f"The pair graph {graph!r} refers to frame {number}, but only {n_frames} frames are used.")
        forward = [(number, j) for j in range(n_frames) if j != number]
    else:
        stride = {"swin": 1, "swinstride": 2, "swin2stride": 3}[kind]
        offsets = [1 + stride * k for k in range(number)]
        reach = [(i, (i + o) % n_frames if cyclic else i + o) for i in range(n_frames) for o in offsets]
        unordered = {(min(i, j), max(i, j)) for i, j in reach if i != j and j < n_frames}
        forward = sorted(unordered)
    return forward + [(j, i) for i, j in forward]


def apart(n_frames: int, gaps: Iterable[int]) -> list[tuple[int, int]]:
    """All (i, i + gap) of a clip of so many frames, for each of `gaps` (above 0) in turn."""
    return [(i, i + gap) for gap in gaps for i in range(n_frames - gap)]


def mirrors_together(edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """The pairs of `build` with every (j, i) right after its (i, j): who needs both then has not long to wait."""
    half = len(edges) // 2
    return [edge for both in zip(edges[:half], edges[half:]) for edge in both] or edges
