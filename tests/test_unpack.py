"""Zips of pictures as sources, and what must not come out of them."""

import io
import stat
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from clips import number_of, numbered
from PIL import Image

from easi3r import InputError, unpack, video
from easi3r.own_masks import read_masks

FIELD = Path(__file__).parents[1] / ".." / "shared" / "field"


def png(number):
    file = io.BytesIO()
    Image.fromarray(numbered(number)).save(file, "png")
    return file.getvalue()


def zipped(path, names, **others):
    """A zip at `path` of numbered pictures with these names; others: name -> content."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, name in enumerate(names, 1):
            archive.writestr(name, png(number))
        for name, content in others.items():
            archive.writestr(name, content)
    return path


def in_temp():
    return set(Path(tempfile.gettempdir()).glob("easi3r-zip-*"))


@pytest.mark.parametrize("form", ["{}.png", "walk/frames/img{}.PNG", "walk\\img_{}.png", "./a/./{}.png"])
def test_a_zip_is_read_like_its_folder(tmp_path, form):
    junk = {"__MACOSX/walk/._img1.png": b"x", "walk/.hidden.png": b"x", "walk/notes.txt": b"x", "walk/": b""}
    path = zipped(tmp_path / "walk.zip", [form.format(k) for k in range(1, 13)], **junk)
    before = in_temp()
    clip = video.read(str(path), 12, 96, 1)
    assert [number_of(frame) for frame in clip.frames] == list(range(1, 13))
    assert clip.name == "walk.zip" and in_temp() == before
    assert [number_of(frame) for frame in video.read(path, 3, 96, 1).frames] == [1, 6, 12]


@pytest.mark.parametrize("form", ["zip", "list"])
@pytest.mark.parametrize("broken", [b"", b"no picture", png(2)[:60]])
def test_a_damaged_picture_among_good_ones_is_left_out(tmp_path, form, broken):
    path = zipped(tmp_path / "walk.zip", ["1.png", "2.png", "3.png", "4.png"], **{"0.png": broken, "5.png": broken})
    source = path
    if form == "list":
        zipfile.ZipFile(path).extractall(tmp_path / "walk")
        source = [tmp_path / "walk" / f"{k}.png" for k in range(6)]
    clip = video.read(source, 12, 96, 1)
    assert [number_of(frame) for frame in clip.frames] == [1, 2, 3, 4] == clip.positions.tolist()
    (said,) = clip.warnings
    assert said == "2 of 6 pictures cannot be read and were left out: '0.png', '5.png'."
    masks = np.zeros((6, 64, 96), bool)  # one for each picture
    for k in range(6):
        masks[k, :, 10 * k : 10 * k + 10] = True
    own = read_masks(masks, clip)
    assert [np.flatnonzero(mask[0])[0] for mask in own.masks] == [10, 20, 30, 40]


def test_where_most_pictures_are_damaged_or_one_is_missing_none_is_used(tmp_path):
    path = zipped(tmp_path / "walk.zip", ["1.png", "2.png"], **{"0.png": b"", "3.png": b"", "4.png": b""})
    with pytest.raises(InputError, match="'0.png' is empty"):
        video.read(path, 12, 96, 1)
    zipfile.ZipFile(path).extractall(tmp_path)
    with pytest.raises(InputError, match="no file.*9.png"):
        video.read([tmp_path / "1.png", tmp_path / "2.png", tmp_path / "9.png"], 12, 96, 1)


def test_unpacked_gives_a_folder_that_goes(tmp_path):
    path = zipped(tmp_path / "walk.zip", ["a/1.png", "a/2.png", "cover.png"])
    with unpack.unpacked(path) as folder:
        assert sorted(file.name for file in folder.iterdir()) == ["1.png", "2.png"]
    assert not folder.exists()


def hostile(path, name):
    zipped(path, ["1.png", "2.png"])
    if name == "empty":
        zipped(path, [])
    elif name == "no pictures":
        zipped(path, [], **{"clip.mp4": b"x"})
    elif name == "two folders":
        zipped(path, ["frames/1.png", "frames/2.png", "masks/1.png", "masks/2.png"])
    elif name == "cut":
        path.write_bytes(path.read_bytes()[:-40])
    elif name == "damaged":
        data = bytearray(path.read_bytes())
        data[60:90] = bytes(30)
        path.write_bytes(data)
    elif name == "not a zip":
        path.write_bytes(b"Dear reader, this is not a zip.")
    elif name == "password":
        data = path.read_bytes()
        path.write_bytes(data.replace(b"PK\1\2\x14\3\x14\0\0\0", b"PK\1\2\x14\3\x14\0\1\0"))
    elif name == "too many":
        zipped(path, [], **{f"{k}.png": b"" for k in range(unpack.MOST_FILES + 1)})
    elif name == "bomb":
        data = path.read_bytes()
        at = data.index(b"PK\1\2") + 24
        path.write_bytes(data[:at] + (0xFFFFFFF0).to_bytes(4, "little") + data[at + 4 :])
    elif name == "link":
        with zipfile.ZipFile(path, "a") as archive:
            link = zipfile.ZipInfo("3.png")
            link.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(link, "/etc/hostname")
    else:  # a place outside
        zipped(path, [name, "2.png"])
    return path


BAD = {
    "empty": "no pictures",
    "no pictures": "no pictures",
    "two folders": "several folders.*frames, masks",
    "cut": "cannot be read as a zip",
    "damaged": "cannot be read as a zip",
    "not a zip": "cannot be read as a zip",
    "password": "has a password",
    "bomb": "unpacks to 4 GB",
    "too many": "20001 pictures",
    "link": "has a link",
    "../1.png": "outside",
    "a/../../1.png": "outside",
    "/etc/1.png": "outside",
    "..\\1.png": "outside",
    "C:\\1.png": "outside",
}


@pytest.mark.parametrize("name", BAD)
def test_unusable_zips_give_one_sentence_and_leave_nothing(tmp_path, name):
    path = hostile(tmp_path / "bad.zip", name)
    before = in_temp()
    with pytest.raises(InputError, match=BAD[name]) as error:
        video.read(path, 5, 96, 1)
    assert "\n" not in str(error.value) and "bad.zip" in str(error.value)
    assert in_temp() == before and {file.name for file in tmp_path.iterdir()} == {"bad.zip"}


@pytest.mark.skipif(not FIELD.exists(), reason="no ../shared/field")
def test_the_zip_of_masks_with_unpadded_names():
    clip = video.read(FIELD / "own-mask-unpadded-names.zip", 12, 192, 1)
    places = [np.argwhere(frame[..., 0] > 127).mean(axis=0)[1] for frame in clip.frames]
    assert len(clip.frames) == 12 and places == sorted(places)
