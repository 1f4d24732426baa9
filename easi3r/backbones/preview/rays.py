"""Rays of many frame pairs to the same things, and how far poses are from explaining them; X_j = R X_i + t, |t| = 1."""

from dataclasses import dataclass, fields
from typing import Any, Self

import numpy as np

from ...camera import skew


class PerPair:
    """Arrays whose first axis is the pair."""

    def at(self, which: Any) -> Self:
        """Of some pairs."""
        return type(self)(*(getattr(self, field.name)[which] for field in fields(self)))  # type: ignore[arg-type]

    def where(self, which: np.ndarray, other: Self) -> Self:
        """These, and the other ones where `which` (B,) bool."""
        both = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))  # type: ignore[arg-type]
        return type(self)(*(np.where(which.reshape(-1, *[1] * (a.ndim - 1)), b, a) for a, b in both))

    def put(self, which: np.ndarray, other: Self) -> None:
        """Set some pairs, in place, to those of another, which are as many."""
        for field in fields(self):  # type: ignore[arg-type]
            getattr(self, field.name)[which] = getattr(other, field.name)


@dataclass(frozen=True)
class Rays(PerPair):
    """Matches of B pairs as rays with z = 1, N of each, of which those with weight 0 only fill the arrays."""

    a: np.ndarray  # (B,N,3) float64, of the first frames
    b: np.ndarray  # (B,N,3) of the second ones
    weight: np.ndarray  # (B,N), 1 or 0

    @classmethod
    def of(cls, matches: list[tuple[np.ndarray, np.ndarray]], focals: np.ndarray, shape: tuple[int, ...]) -> "Rays":
        """Of matches, each two of (n,2) pixels of frames of `shape` (...,H,W); focals (B,) of the pairs."""
        most = max(len(source) for source, _ in matches)
        a, b, weight = *np.zeros((2, len(matches), most, 3)), np.zeros((len(matches), most))
        centre = np.array([shape[-1] / 2, shape[-2] / 2])
        a[..., 2] = b[..., 2] = 1
        for k, (pair, focal) in enumerate(zip(matches, focals)):
            n = len(pair[0])
            a[k, :n, :2], b[k, :n, :2] = ((pixels - centre) / focal for pixels in pair)
            weight[k, :n] = 1
        return cls(a, b, weight)

    def zoomed(self, zoom: np.ndarray) -> "Rays":
        """With second focals exp(zoom) times as long, zoom (B,)."""
        shrunk = np.exp(-zoom)[:, None, None] * self.b
        shrunk[..., 2] = 1
        return Rays(self.a, shrunk, self.weight)

    def one(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Those of pair k, (n,3) each."""
        there = self.weight[k] > 0
        return self.a[k][there], self.b[k][there]


def left_by_rotation(rotation: np.ndarray, rays: Rays) -> np.ndarray:
    """Distance (B,N) in the normalised image plane between rays b and rotated rays a."""
    turned = rays.a @ rotation.swapaxes(1, 2)
    return np.linalg.norm(turned[..., :2] / turned[..., 2:] - rays.b[..., :2], axis=-1)


def parallax(rotation: np.ndarray, translation: np.ndarray, rays: Rays) -> np.ndarray:
    """Shift (B,N) along epipolar lines by translation, in the normalised image plane; negative behind the camera."""
    turned = rays.a @ rotation.swapaxes(1, 2)
    shift = rays.b[..., :2] - turned[..., :2] / turned[..., 2:]
    towards = translation[:, None, :2] - rays.b[..., :2] * translation[:, None, 2:]
    return (shift * towards).sum(axis=-1) / np.maximum(np.linalg.norm(towards, axis=-1), 1e-12)


def sampson(rotation: np.ndarray, translation: np.ndarray, rays: Rays) -> np.ndarray:
    """Signed Sampson distance (B,N) of ray pairs to the essential matrix, in units of the normalised image plane."""
    return epipolar(skew(translation) @ rotation, rays)[0]


def sampson_slope(essential: np.ndarray, ways: np.ndarray, rays: Rays) -> np.ndarray:
    """Derivatives (B,N,k) of the Sampson distance where essential matrices (B,3,3) change by `ways` (B,k,3,3)."""
    return slopes_of(products(rays), rays, *epipolar(essential, rays)) @ columns(ways)


def parallax_slope(rotation: np.ndarray, translation: np.ndarray, basis: np.ndarray, rays: Rays) -> np.ndarray:
    """Derivatives (B,N,5) of `parallax` by a turn (3) and by the translation along a basis (B,2,3)."""
    x, y, z = np.moveaxis(rays.a @ rotation.swapaxes(1, 2), -1, 0)
    u, v = x / z, y / z
    bu, bv = rays.b[..., 0], rays.b[..., 1]
    tx, ty, tz = translation.T[..., None]
    way_u, way_v = tx - bu * tz, ty - bv * tz
    length = np.maximum(np.sqrt(way_u**2 + way_v**2), 1e-12)
    way_u, way_v = way_u / length, way_v / length
    # a turn about x, y, z moves the pixel (u, v) by (-uv, -1-vv), (1+uu, uv), (-v, u); the shift falls by as much
    slopes = [u * v * way_u + (1 + v * v) * way_v, -(1 + u * u) * way_u - u * v * way_v, v * way_u - u * way_v]
    across = (bv - v) * way_u - (bu - u) * way_v  # a change of the way along itself changes nothing
    for x, y, z in basis.transpose(1, 2, 0)[..., None]:
        slopes.append(across * (way_u * (y - bv * z) - way_v * (x - bu * z)) / length)
    return np.stack(slopes, axis=-1)


def products(rays: Rays) -> np.ndarray:
    """(B,N,9): b_i a_j."""
    return (rays.b[..., :, None] * rays.a[..., None, :]).reshape(*rays.weight.shape, 9)


def epipolar(essential: np.ndarray, rays: Rays) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The Sampson distance (B,N), the length (B,N) of the first two components of both epipolar lines, and the lines
    (B,N,3).
    """
    line_b, line_a = rays.a @ essential.swapaxes(1, 2), rays.b @ essential
    square = line_b[..., 0] ** 2 + line_b[..., 1] ** 2 + line_a[..., 0] ** 2 + line_a[..., 1] ** 2
    length = np.sqrt(square + 1e-18)
    return (rays.b * line_b).sum(axis=-1) / length, length, line_b, line_a


def slopes_of(
    outer: np.ndarray, rays: Rays, distance: np.ndarray, length: np.ndarray, line_b: np.ndarray, line_a: np.ndarray
) -> np.ndarray:
    """Derivatives (B,N,9) of the Sampson distance d = n / m by the numbers of the essential matrix E.

    outer: `products`; the others as of `epipolar`. With n = b^T E a and m the length of the first two components of E a
    and E^T b, d' = (n' - d m') / m.
    """
    flat = np.array([1.0, 1, 0])
    change = (line_b * flat)[..., :, None] * rays.a[..., None, :] + rays.b[..., :, None] * (line_a * flat)[..., None, :]
    return (outer - (distance / length)[..., None] * change.reshape(outer.shape)) / length[..., None]


def columns(ways: np.ndarray) -> np.ndarray:
    """(B,k,3,3) -> (B,9,k)."""
    return ways.reshape(*ways.shape[:2], 9).swapaxes(1, 2)
