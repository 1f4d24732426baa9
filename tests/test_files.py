"""What is opened and what is not: which files, which stream in them, which frames."""

import numpy as np
import pytest
from PIL import Image

from clips import encode, number_of, numbered, set_display_matrix
from easi3r.sources import open_source


# ---- reduced reading, for a survey over many frames


def survey_sources(tmp_path):
    frames = [numbered(k, 240, 400) for k in range(6)]
    photo = Image.fromarray(np.rot90(frames[5]).copy())
    photo.getexif()[0x0112] = 6  # stored turned left; to be shown turned clockwise
    photo.save(tmp_path / "photo.jpg", exif=photo.getexif(), quality=95)
    encode(tmp_path / "turned.mp4", [np.rot90(frame) for frame in frames])
    return {
        "clip": (encode(tmp_path / "a.mp4", frames), (400, 240)),
        "turned": (set_display_matrix(tmp_path / "turned.mp4", 0, 1, -1, 0), (400, 240)),
        "narrow pixels": (encode(tmp_path / "dv.mp4", [f[:, ::2] for f in frames], pixel_aspect=2), (400, 240)),
        "array": (np.stack(frames), (400, 240)),
        "photo": ([tmp_path / "photo.jpg"], (400, 240)),
    }


@pytest.mark.parametrize("name", ["clip", "turned", "narrow pixels", "array", "photo"])
def test_reduced_images_are_upright_and_know_the_full_size(tmp_path, name):
    source, size = survey_sources(tmp_path)[name]
    opened = open_source(source)
    positions = list(range(len(opened.seconds)))[-1:]
    for side, shape in ((100, (60, 100, 3)), (4000, (240, 400, 3))):  # never enlarged
        [(position, image, full)] = opened.read(positions, side=side)
        assert (position, image.shape, full) == (positions[0], shape, size)
        assert image.dtype == np.uint8 and number_of(image) == 5
