"""Clips as cameras and messengers leave them: the noise of low light, lamps that flicker, strong compression."""

import tempfile
from pathlib import Path

import numpy as np

from .. import video
from ..sources import open_source

GAMMA = 2.2  # of the displays that grey levels are made for
# In a living room in the evening a phone's picture is two stops darker than by day, and a pixel that would be white by
# day catches some hundred electrons. On middle grey that leaves noise of 7 levels around 60.
DIM, ELECTRONS, READ_NOISE = 0.25, 400.0, 2.0
# A phone in a lit room: ten times the light, so noise of 4 levels on middle grey. Its exposure drifts, and as the lamps
# flicker at twice 50 Hz while its rows are read one after the other, bands of light roll through the picture.
PHONE_ELECTRONS, DRIFT, FLICKER, LAMPS, READ_OUT = 1000.0, 0.12, 0.03, 100.0, 0.02
MESSENGER = {"crf": "32", "preset": "veryfast"}  # blocks show, and fine texture is gone


def in_low_light(frames: np.ndarray, seed: int = 0) -> np.ndarray:
    """Frames (T,H,W,3) uint8 RGB as filmed in little light: darker, with the noise of few photons in every pixel."""
    rng = np.random.default_rng(seed)
    electrons = ELECTRONS * DIM * (np.arange(256) / 255) ** GAMMA
    caught = rng.poisson(electrons[frames]) + rng.normal(0, READ_NOISE, frames.shape)
    return (255 * (caught / ELECTRONS).clip(0, 1) ** (1 / GAMMA)).round().astype(np.uint8)


def by_phone(frames: np.ndarray, timestamps: np.ndarray, seed: int = 0) -> np.ndarray:
    """Frames (T,H,W,3) uint8 RGB at timestamps (T,) seconds as a phone films them in a room: an exposure that drifts,
    bands of flickering lamps, noise.
    """
    rng = np.random.default_rng(seed)
    rows = timestamps[:, None] + READ_OUT * np.linspace(0, 1, frames.shape[1])  # (T,H) seconds at which a row is read
    gain = (1 + DRIFT * np.sin(1.7 * timestamps))[:, None] * (1 + FLICKER * np.sin(2 * np.pi * LAMPS * rows))
    light = (frames / 255.0) ** GAMMA * gain[..., None, None]
    caught = rng.poisson(PHONE_ELECTRONS * light) + rng.normal(0, READ_NOISE, frames.shape)
    return (255 * (caught / PHONE_ELECTRONS).clip(0, 1) ** (1 / GAMMA)).round().astype(np.uint8)


def compressed(frames: np.ndarray, fps: float = 24) -> np.ndarray:
    """Frames (T,H,W,3) uint8 RGB of even H and W after strong H.264 compression, decoded again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clip.mp4"
        video.write(path, frames, fps, MESSENGER)
        return np.stack([image for _, image, _ in open_source(path).read(range(len(frames)))])
