"""Procedural textures, and looking them up without aliasing."""

import zlib
from functools import lru_cache

import cv2
import numpy as np
from scipy import fft

TEXELS = 512  # side of a texture


def sample(name: str, seed: int, u: np.ndarray, v: np.ndarray, footprint: np.ndarray) -> np.ndarray:
    """Trilinear texture look-up: colours (N, 3) at u, v (N,), 1 = one period, blurred to `footprint` (N,) texels.

    name: of `TEXTURES`, or with "#" and anything behind it, which is another texture of the same kind.
    """
    texels, starts, sides = _pyramid(name, seed)
    level = np.log2(np.maximum(footprint, 1.0)).clip(0, len(sides) - 1.001)
    low = level.astype(int)
    blend = (level - low)[:, None]
    return (
        _bilinear(texels, starts[low], sides[low], u, v) * (1 - blend)
        + _bilinear(texels, starts[low + 1], sides[low + 1], u, v) * blend
    )


def _bilinear(texels, start, side, u, v):
    x, y = (u % 1) * side - 0.5, (v % 1) * side - 0.5
    left, top = np.floor(x), np.floor(y)
    fx, fy = (x - left)[:, None], (y - top)[:, None]
    x0, y0 = left.astype(int) % side, top.astype(int) % side
    x1, y1 = (x0 + 1) % side, (y0 + 1) % side
    row0, row1 = start + y0 * side, start + y1 * side
    one, two = (texels.take(row + x0, axis=0) * (1 - fx) + texels.take(row + x1, axis=0) * fx for row in (row0, row1))
    return one * (1 - fy) + two * fy


@lru_cache(maxsize=256)
def _pyramid(name, seed):
    """A texture and its halvings in one array: texels (N, 3) uint8, start of each level, side of each level."""
    image = TEXTURES[name.split("#")[0]](np.random.default_rng([seed, zlib.crc32(name.encode())]))
    levels = [np.clip(image, 0, 255).astype(np.uint8)]
    while len(levels[-1]) > 4:
        levels.append(cv2.resize(levels[-1], None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA))
    sides = np.array([len(level) for level in levels])
    return np.concatenate([level.reshape(-1, 3) for level in levels]), np.cumsum(sides**2) - sides**2, sides


def _rgb(*colours):
    """Hex colours, space-separated or single -> (N, 3) float."""
    return np.array([[int(c[k : k + 2], 16) for k in (0, 2, 4)] for c in " ".join(colours).split()], dtype=float)


def _noise(rng, slope=1.0, stretch=1.0):
    """Periodic noise (S, S) of all scales, unit deviation: white noise with its spectrum divided by f ** slope."""
    across, down = fft.rfftfreq(TEXELS) * TEXELS, fft.fftfreq(TEXELS) * TEXELS
    f = np.hypot(*np.meshgrid(across * stretch, down / stretch)).clip(1) ** slope
    field = fft.irfft2(fft.rfft2(rng.standard_normal((TEXELS, TEXELS))) / f)
    return (field - field.mean()) / field.std()


def _grain(rng, image, strength, **kind):
    return image * (1 + strength * _noise(rng, **kind).clip(-2.5, 2.5))[..., None]


def _courses(rng, colours, across, down, shift=0.5, jitter=0.1, joint=0.08, grain=0.1, stretch=1.0):
    """Bricks, planks, tiles or books: `down` rows of `across` pieces, each row shifted by `shift` pieces."""
    y, x = (np.mgrid[:TEXELS, :TEXELS] + 0.5) / TEXELS
    row = (y * down).astype(int)
    place = x * across + shift * row
    piece = place.astype(int) % across
    palette = _rgb(colours)
    table = palette[rng.integers(len(palette), size=(down, across))]
    table = table * (1 + jitter * rng.standard_normal((down, across, 1)))
    edge = np.minimum(np.minimum(place % 1, 1 - place % 1) / across, np.abs(y * down - np.round(y * down)) / down)
    gap = np.where(edge < joint * 0.5 / max(across, down), 0.55, 1.0)
    return _grain(rng, table[row, piece] * gap[..., None], grain, stretch=stretch)


def _patches(rng, colours, slope=1.2, grain=0.1):
    """Flat blotches of every size: noise cut into as many levels as there are colours."""
    field, palette = _noise(rng, slope), _rgb(colours)
    level = np.searchsorted(np.quantile(field, np.linspace(0, 1, len(palette) + 1)[1:-1]), field)
    return _grain(rng, palette[level], grain)


def _collage(rng, colours, pieces=60, largest=110, grain=0.08):
    """Rectangles, discs and strokes over each other; the first colour is the background."""
    palette = _rgb(colours)
    canvas = np.full((TEXELS, TEXELS, 3), palette[0])
    for k in range(pieces):
        x, y = (int(n) for n in rng.integers(0, TEXELS, 2))
        w, h = (int(n) for n in rng.integers(12, max(14, largest * (pieces - k) // pieces + 14), 2))
        colour = [float(c) for c in palette[rng.integers(1, len(palette))] * rng.uniform(0.85, 1.1)]
        for x_wrapped in (x, x - TEXELS):  # periodic across, where a ball or a rod closes
            if k % 3 == 0:
                cv2.circle(canvas, (x_wrapped, y), w // 2, colour, -1, cv2.LINE_AA)
            elif k % 3 == 1:
                cv2.rectangle(canvas, (x_wrapped, y), (x_wrapped + w, y + h), colour, -1)
            else:
                cv2.line(canvas, (x_wrapped, y), (x_wrapped + w, y + h), colour, 7, cv2.LINE_AA)
    return _grain(rng, canvas, grain)


def _facade(rng, wall, frame, columns=3, storeys=2):
    """Brickwork with windows, no two alike."""
    canvas = _courses(rng, wall, 14, 36, jitter=0.07, grain=0.12)
    w, h = TEXELS // columns, TEXELS // storeys
    for x, y in [(c * w, s * h) for c in range(columns) for s in range(storeys)]:
        left, right, top, bottom = x + w // 4, x + w - w // 4, y + h // 5, y + h - h // 4
        cv2.rectangle(canvas, (left - 7, top - 7), (right + 7, bottom + 12), _rgb(frame)[0].tolist(), -1)
        cv2.rectangle(canvas, (left, top), (right, bottom), (_rgb("35475a")[0] * rng.uniform(0.7, 1.5)).tolist(), -1)
        blind = top + int((bottom - top) * rng.uniform(0.1, 0.7))
        cv2.rectangle(canvas, (left, top), (right, blind), (_rgb("d8c9a8")[0] * rng.uniform(0.6, 1.1)).tolist(), -1)
        cv2.line(canvas, ((left + right) // 2, top), ((left + right) // 2, bottom), _rgb(frame)[0].tolist(), 5)
        cv2.line(canvas, (left, (top + bottom) // 2), (right, (top + bottom) // 2), _rgb(frame)[0].tolist(), 5)
    return _grain(rng, canvas, 0.06)


TEXTURES = {  # name -> recipe(rng) -> (S, S, 3) colours in 0..255
    "planks": lambda r: _courses(r, "b98a58 a87848 c79a68 9a6c42", 2, 9, 0.37, grain=0.12, stretch=3.0),
    "wood": lambda r: _courses(r, "8a5a34 946440", 1, 4, 0.3, 0.05, 0.03, 0.2, stretch=4.0),
    "wallpaper": lambda r: _collage(r, "dcd3bf c9b48e b7c2b0 a9b9c4 d9a58c", 220, 40, 0.06),
    "plaster": lambda r: _patches(r, "cfc7b8 d6cfc2 c6bcab dad4c8", 1.3, 0.08),
    "rug": lambda r: _collage(r, "7d2f35 c9a15a 274b63 e0d2b4 a84b3c 3d6b60", 160, 90, 0.12),
    "books": lambda r: _courses(r, "a63d40 e9b872 90a959 6494aa 3d405b e07a5f 81b29a f2cc8f", 22, 4, 0.4, 0.12, 0.1),
    "fabric": lambda r: _patches(r, "4f6f8f 5b7da0 466382 6f8fae", 0.9, 0.15),
    "cushion": lambda r: _collage(r, "e0a458 c8553d f4d58d 588b8b 2d3047", 70, 90),
    "picture": lambda r: _collage(r, "1f3a4d e4572e f3a712 a8c686 669bbc efe9d8", 50, 220),
    "poster": lambda r: _collage(r, "efe6d5 c8553d 28536b 7ea8be f6b26b 4b3f72", 45, 200),
    "leaves": lambda r: _patches(r, "2f5d34 3f7a3f 57974a 234a2b 7fae5a", 0.7, 0.18),
    "clay": lambda r: _patches(r, "b5603c c4724a a85434", 1.0, 0.12),
    "metal": lambda r: _patches(r, "6c7076 5a5e64 7c8188", 1.0, 0.1),
    "lamp": lambda r: _patches(r, "f2dfae f7e9c4 ead39a", 1.0, 0.08),
    "beachball": lambda r: _collage(r, "f4f1e8 e63946 ffb703 2a9d8f 1d5fa0 8338ec", 46, 120, 0.05),
    "parcel": lambda r: _collage(r, "c49a6c a87b4f f1faee d62828 264653 e9c46a", 34, 130),
    "asphalt": lambda r: _patches(r, "5c5d60 66676a 525356 717275", 0.7, 0.16),
    "paving": lambda r: _courses(r, "a9a39a b5afa5 9c968d bdb4a6", 5, 5, 0.5, 0.05, 0.05, 0.12),
    "brick_red": lambda r: _facade(r, "a4553f b0614a 94493a", "efe6d8"),
    "brick_sand": lambda r: _facade(r, "cfae7d d8ba8c c2a06f", "6b4a36"),
    "brick_blue": lambda r: _facade(r, "7d93a3 8aa0ae 70869a", "f2f0ea", 4),
    "shop": lambda r: _collage(r, "2f4858 f6ae2d f26419 86bbd8 e8e4d8 33658a", 90, 130),
    "awning": lambda r: _courses(r, "c8452f f3ead8", 8, 1, 0, 0.05, 0.02),
    "sky": lambda r: _rgb("bcdcff") + (36 * _noise(r, 1.6).clip(-1, 2.2))[..., None] * [1.0, 0.8, 0.45],
    "paint": lambda r: _patches(r, "2f7f86 388c93 28727a 46989e", 1.3, 0.08),
    "glass": lambda r: _patches(r, "2a3640 3a4a58 4a5c6c 202a33", 1.3, 0.06),
    "rubber": lambda r: _patches(r, "26272a 3a3b3f 1c1d1f 6a6b70", 0.8, 0.12),
    "jacket": lambda r: _collage(r, "d1495b edae49 00798c f4f1de 30638e", 60, 100),
    "denim": lambda r: _patches(r, "2b3f5e 37507a 22324c 4a668f", 0.8, 0.16),
    "skin": lambda r: _patches(r, "d9a583 e0b192 cf9873", 1.3, 0.06),
    "hair": lambda r: _patches(r, "3b2a20 4c3628 2c1f18", 0.7, 0.15),
    "fur": lambda r: _patches(r, "c69c6d f3e9d6 8a5a33 a9784a", 1.0, 0.15),
    "fruit": lambda r: _patches(r, "c8372d d9532f e8a33a b22a2a", 1.1, 0.08),
    "mug": lambda r: _courses(r, "f4efe4 2b6f77 e0a33e f4efe4", 8, 5, 0.5, 0.05, 0.04),
    "engine": lambda r: _collage(r, "d62828 fcbf49 f7f3e3 003049 f77f00", 55, 120, 0.06),
    "wagon": lambda r: _collage(r, "1d6fa3 fcbf49 f7f3e3 2a9d8f e76f51", 55, 120, 0.06),
    "cloth": lambda r: _collage(r, "e9e2d0 b8c4a8 d9a79c 8fa9b8 c9b27c", 200, 60, 0.08),
}
