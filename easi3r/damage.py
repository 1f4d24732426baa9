"""Which decoded frames are whole: neither damaged themselves nor predicted from a damaged one."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from av import VideoFrame

if TYPE_CHECKING:
    from .decode import Index


class _Damage(NamedTuple):
    position: float  # of the frame that is damaged, in the order of display; infinite if it never came
    low: int  # the damage lies at or after this place in the order of decoding,
    high: int  # and at or before this one


def whole(decoded: Iterable[tuple[Any, VideoFrame | None]], index: "Index") -> Iterator[tuple[int, VideoFrame]]:
    """(tick, frame) of the frames to trust, of all (tick, frame), or (range of places, None) where decoding failed.

    A decoder conceals what it has lost: it fills in from other frames, and goes on predicting from that until the next
    keyframe. So all that is decoded after a loss is left out up to a keyframe that is whole. Frames shown before
    one that they are predicted from are held until that has come, which takes as many frames as the codec reorders.
    """
    damages, keys, newest = [], [(-1, -1)], -1  # keys: (position, place) of the last two
    held: deque[tuple[int, VideoFrame, tuple[int, int]]] = deque()
    for tick, frame in decoded:
        if frame is None:  # in one of these places, but after those that have come
            damages.append(_Damage(float("inf"), max(tick.start, newest + 1), max(tick.stop - 1, newest + 1)))
            continue
        position = index.position(tick)
        place = int(index.order[position])
        newest = max(newest, place)
        if frame.is_corrupt:
            damages.append(_Damage(position, place, place))
        elif frame.key_frame:
            keys = [keys[-1], (position, place)]
            damages = [damage for damage in damages if damage.high >= keys[0][1]]
        held.append((tick, frame, (position, place)))
        while held and index.settled[held[0][2][0]] <= position:
            tick, frame, where = held.popleft()
            if not _touched(where, keys, damages):
                yield tick, frame
    yield from ((tick, frame) for tick, frame, where in held if not _touched(where, keys, damages))


def _touched(where, keys, damages):
    """Whether a loss since the keyframe before it reaches the frame at `where`: (position, place)."""
    position, place = where
    key_position, key_place = max(key for key in keys if key[1] <= place) if place >= keys[0][1] else keys[0]
    return any(
        damage.position == position
        or (damage.low <= place and key_place < damage.high and damage.position > key_position)
        for damage in damages
    )
