"""Dark, noisy and fading clips: what there is of the scene is brought out before anything is looked for in it."""

import cv2
import numpy as np

from .large import each, some

COARSE = 3.0  # pixels, deviation of the blur beyond which contrast is the scene's and not noise
# Contrast of the scene, in standard deviations of the noise. Measured on four real and three rendered clips: 9.7 to 46.
# On a rendered clip made dark and noisy masks hold at 3.4 (J .56 of .54) and are nonsense at 1.4 (.17) and .7 (.07).
CLEAR = 2.5
EVERY = 4  # row and column that tell how bright a clip is
DARK = 50.0  # grey levels, median of a faint or noisy clip that is called dark
FAINT = 64.0  # grey levels between the darkest and the brightest parts, which are 140 to 240 apart in clips by day
BLUR = 2.0  # pixels at working size: at .7 it brings J back to .40 and the focal from 507 to 436 of true 370
ENDS = 0.005  # share of the pixels that may end black or white when the contrast is stretched
FADED = 0.75  # share of the clip's usual contrast below which a frame is faded; frames of real clips keep .80 of it


def is_noisy(frames: np.ndarray) -> bool:
    """Whether the scene hardly rises above the noise; frames (T,H,W,3) uint8 RGB."""
    few = frames[:: max(1, len(frames) // 8)]
    return float(np.median([_clearness(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)) for frame in few])) < CLEAR


def is_dark(frames: np.ndarray) -> bool:
    """Whether most of the scene is nearly black; frames (T,H,W,3) uint8 RGB."""
    return float(np.median(_sampled(frames))) < DARK


def is_faint(frames: np.ndarray) -> bool:
    """Whether the scene has hardly any contrast; frames (T,H,W,3) uint8 RGB."""
    low, high = np.quantile(_sampled(frames), [ENDS, 1 - ENDS])
    return bool(high - low < FAINT)


def _sampled(frames):
    return some(frames)[:, ::EVERY, ::EVERY]


def _clearness(grey):
    """Contrast over noise; the noise by Immerkaer 1996 (Laplacian difference), in the quietest quarter of pixels."""
    grey = grey.astype(np.float32)
    kernel = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)
    noise = np.quantile(np.abs(cv2.filter2D(grey, -1, kernel)), 0.25) / 6 / 0.3186  # quartile of a normal's magnitude
    return float(cv2.GaussianBlur(grey, (0, 0), COARSE).std() / max(noise, 0.5))


def brought_out(frames: np.ndarray, noisy: bool) -> np.ndarray:
    """The frames (T,H,W,3) uint8 RGB with the contrast that clips by day have, without noise if they are `noisy`."""

    def smooth(frame: np.ndarray) -> np.ndarray:
        return cv2.GaussianBlur(frame.astype(np.float32), (0, 0), BLUR) if noisy else frame.astype(np.float32)

    low, high = np.quantile([smooth(frame) for frame in some(frames)], [ENDS, 1 - ENDS])
    stretch = 255 / max(high - low, 1)
    return each(lambda frame: np.clip((smooth(frame) - low) * stretch, 0, 255).astype(np.uint8), frames)


def evened(frames: np.ndarray) -> np.ndarray:
    """The frames (T,H,W,3) uint8 RGB, those that are faded with the contrast and brightness that the clip usually has:
    flow and appearance compare grey levels. A fade to black or white is linear in them."""
    spread = np.array([frame.std() for frame in frames])
    usual = np.median(spread)
    faded = (spread < FADED * usual) & (spread > 0)
    if not faded.any():
        return frames
    middle = np.median([frame.mean() for frame in frames[~faded]])
    mended = each(lambda frame: frame, frames)
    for t in np.flatnonzero(faded):
        frame = frames[t].astype(np.float32)
        mended[t] = np.clip((frame - frame.mean()) * (usual / spread[t]) + middle, 0, 255).astype(np.uint8)
    return mended
