"""The graph of frames and pairs: its connected parts, and which pairs to solve the cameras from."""

PAIRS_PER_FRAME = 16  # the cameras are solved from about this many pairs per frame; further ones only shape the depth


def connected_parts(ends: list[tuple[int, int]], n_frames: int) -> list[list[int]]:
    """Ascending lists of the frames that pairs join, the largest first."""
    group = list(range(n_frames))
    for i, j in ends:
        a, b = group[i], group[j]
        if a != b:
            group = [a if g == b else g for g in group]
    parts: dict[int, list[int]] = {}
    for v, g in enumerate(group):
        parts.setdefault(g, []).append(v)
    return sorted(parts.values(), key=lambda part: (-len(part), part[0]))


def chosen_pairs(ends: list[tuple[int, int]], frames: list[int]) -> set[int]:
    """Pairs the cameras are solved from: all, or of a dense graph those of nearest frames that keep it connected."""
    inside = set(frames)
    pairs = sorted((e for e in range(len(ends)) if ends[e][0] in inside), key=lambda e: abs(ends[e][0] - ends[e][1]))
    most = PAIRS_PER_FRAME * len(frames)
    for count in range(most, len(pairs), most):
        if len(connected_parts([ends[e] for e in pairs[:count]], max(frames) + 1)[0]) == len(frames):
            return set(pairs[:count])
    return set(pairs)
