"""The windows of a clip as one `Estimate`."""

from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation, Slerp

from ..alignment.similarity import rigid_part, scale_of
from ..camera import invert, pose
from ..large import frames_of
from ..spans import Maps
from ..system.base import Estimate
from ..system.steps import FLAT, GUESSED, turning_sentence
from .graph import Edge, settled
from .links import Window

STANDS = (
    "For a part of the clip the camera only turns or stands still{}. How large what comes after it is, compared to "
    "what came before, is a guess."
)
# Each frame keeps the depth of its window, so that a clip can have both.
BOTH = f"{GUESSED}; where no ground can be told, {FLAT}"


def joined(windows: list[Window], worlds: np.ndarray, maps: Maps, loops: list[Edge]) -> Estimate:
    """All in the world of the first camera; worlds (n,4,4): similarities, from each window's, before loops close."""
    depth, n_frames = maps.arrays["depth"], windows[-1].span.end
    intrinsics, grown = np.zeros((n_frames, 3, 3)), np.zeros(n_frames)
    for window, world in zip(windows, worlds):
        span = window.span
        grown[span.owned : span.until] = scale_of(world)
        intrinsics[span.owned : span.until] = window.intrinsics[span.mine]
    nodes = _cameras(windows, worlds)
    nodes[:, :3, :3] *= grown[:, None, None]  # frame, in the unit of its window -> world
    if loops:
        nodes = _closed(nodes, windows, worlds, loops)
    for t in frames_of([depth]):
        depth[t] *= np.float32(scale_of(nodes[t]))
    cameras = rigid_part(nodes)
    cameras = invert(cameras[:1]) @ cameras
    cameras[0] = np.eye(4)
    info = {**_info(windows), "windows": len(windows), "seen_again": [list(edge.frames or ()) for edge in loops]}
    return Estimate(cameras, intrinsics, depth, maps.arrays["confidence"], maps.motion, _warnings(windows), info)


def _closed(nodes, windows, worlds, loops):
    """The frames (T,4,4) with loops closed; what lies between two neighbours is as the windows say."""
    inverse = np.linalg.inv(nodes)
    ends = [(t, t + 1) for t in range(len(nodes) - 1)]
    measured = list(inverse[:-1] @ nodes[1:])
    for edge in loops:
        i, j = edge.frames
        # the second place where the loop has it: in the world of the first one's window
        there = worlds[edge.a] @ edge.matrix @ np.linalg.inv(worlds[edge.b]) @ nodes[j]
        ends.append((i, j))
        measured.append(inverse[i] @ there)
    size = float(np.median([window.size for window in windows]))
    return settled(nodes, np.array(ends), np.array(measured), size)


def _cameras(windows, worlds):
    """(T,4,4); in frames of two windows what both say, from one to the other by and by."""
    cameras = np.zeros((windows[-1].span.end, 4, 4))
    before = 0  # frames that are known
    for window, world in zip(windows, worlds):
        span, mine = window.span, rigid_part(world @ window.cam2world)
        shared = before - span.begin
        cameras[before : span.end] = mine[max(0, shared) :]
        for k in range(max(0, shared)):
            cameras[span.begin + k] = way(cameras[span.begin + k], mine[k], (k + 1) / (shared + 1))
        before = span.end
    return cameras


def way(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    """The camera (4,4) that is as far on the way from a to b as `share`, of [0,1], says."""
    turn = Slerp([0, 1], Rotation.from_matrix([a[:3, :3], b[:3, :3]]))(share)
    return pose(turn.as_matrix(), (1 - share) * a[:3, 3] + share * b[:3, 3])


def _info(windows: list[Window]) -> dict[str, Any]:
    """Of the first window, with the seconds and pairs of all."""
    info = dict(windows[0].info)
    steps = [window.info.get("seconds", {}) for window in windows]
    info["seconds"] = {step: round(sum(each.get(step, 0.0) for each in steps), 3) for step in steps[0]}
    if "pairs" in info:
        info["pairs"] = sum(window.info["pairs"] for window in windows)
    return info


def _warnings(windows: list[Window]) -> tuple[str, ...]:
    """Each sentence once, however many windows say it; what is shown where the camera only turns, of the whole clip."""
    said = dict.fromkeys(sentence for window in windows for sentence in window.warnings)
    kinds = [kind for kind in (GUESSED, FLAT) if turning_sentence(kind) in said]
    shown = BOTH if len(kinds) == 2 else "".join(kinds)
    others = [sentence for sentence in said if sentence not in map(turning_sentence, kinds)]
    turning = [window.turns for window in windows]
    if any(turning) and not all(turning):
        return (*others, STANDS.format(f", so no depth can be seen there: {shown}" if shown else ""))
    return (*others, turning_sentence(shown)) if shown else tuple(others)
