"""The frames of the clip as small pictures for the player: what was filmed, next to what was made of it."""

import base64

import cv2
import numpy as np

from ...large import frames_of

_SIZES = (  # longer side in pixels and JPEG quality, the best first; each takes about 3/4 of the one before
    (640, 80),
    (512, 75),
    (448, 70),
    (384, 65),
    (320, 60),
    (256, 55),
    (208, 50),
    (160, 45),
    (128, 40),
)
_SAMPLE = 8  # frames that tell how large all will be


def encode(frames: np.ndarray, most: int) -> list[str]:
    """JPEGs of frames (T,H,W,3) uint8 RGB as base64, together at most so many characters.

    All have the largest size and quality of a table that meets this. Measured on the rendered examples with 2.4
    million: 24 frames of 448 x 256 stay whole at quality 80 (0.9 MB), 150 become 320 pixels wide at quality 60 (2.0
    MB), 300 become 208 wide at quality 50 (1.7 MB). If even the smallest are too large (beyond about 1000 frames), only
    K of the frames have a picture, evenly spread: the k-th is of frame k T // K.
    """
    sample = frames[np.unique(np.linspace(0, len(frames) - 1, _SAMPLE).astype(int))]
    for side, quality in _SIZES:
        expected = np.mean([len(_jpeg(frame, side, quality)) for frame in sample]) * len(frames)
        if expected <= most:
            pictures = [_jpeg(frames[t], side, quality) for t in frames_of([frames])]
            if sum(map(len, pictures)) <= most:
                return pictures
    side, quality = _SIZES[-1]
    number = len(frames)
    while True:
        kept = np.arange(number) * len(frames) // number
        pictures = [_jpeg(frames[t], side, quality) for t in frames_of([frames], kept)]
        if sum(map(len, pictures)) <= most or number == 1:
            return pictures
        number = max(1, int(0.95 * number * most / sum(map(len, pictures))))


def _jpeg(frame, side, quality):
    height, width = frame.shape[:2]
    factor = side / max(height, width)
    if factor < 1:
        size = max(1, round(width * factor)), max(1, round(height * factor))
        frame = cv2.resize(frame, size, interpolation=cv2.INTER_AREA)
    options = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_OPTIMIZE, 1]
    return base64.b64encode(cv2.imencode(".jpg", frame[..., ::-1], options)[1]).decode()
