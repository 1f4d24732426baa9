"""Sizes of pictures, (width, height) in pixels."""


def reduced(size, side):
    """(width, height) with the proportions of `size` and a long side of at most `side`; never larger than `size`."""
    scale = min(1, side / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
