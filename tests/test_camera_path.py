"""Camera moves: the file of one, and the video of it, which is decoded again."""

import copy
import json

import av
import cv2
import numpy as np
import pytest
from conftest import analytic_result

from easi3r.cli import main
from easi3r.errors import InputError
from easi3r.export.camera_path import read_camera_path, render_camera_path
from easi3r.export.scene import Scene

OPENGL = np.diag([1.0, -1.0, -1.0, 1.0])
DARK = np.array([22, 24, 29])  # where nothing is known


@pytest.fixture(scope="module")
def clip():
    return analytic_result(6, 160, 96)


def document(result, count=12, fps=6, **changes):
    """The filmed path itself as a camera move; the lens shows as much as the clip's from the upper to the lower rim."""
    steps = np.linspace(0, len(result.frames) - 1, count)
    height, focal = result.frames.shape[1], result.intrinsics[0][0, 0]
    fov = float(np.degrees(2 * np.arctan(height / 2 / focal)))
    entries = [
        {
            "camera_to_world": (result.cam2world[round(step)] @ OPENGL).ravel().tolist(),
            "fov": fov,
            "aspect": 16 / 9,
            "render_time": step / (len(result.frames) - 1),
        }
        for step in steps
    ]
    size = {"render_height": 96, "render_width": 160, "fps": fps, "seconds": count / fps}
    return {"camera_type": "perspective", **size, "camera_path": entries, **changes}


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(stream)]), float(stream.average_rate)


def test_a_document_is_read(clip, tmp_path):
    written = document(clip)
    (tmp_path / "camera_path.json").write_text(json.dumps(written))
    for source in (written, tmp_path / "camera_path.json", str(tmp_path / "camera_path.json")):
        path = read_camera_path(source)
        assert path.size == (160, 96) and path.fps == 6 and len(path.times) == 12
        assert np.allclose(path.cam2world[[0, -1]], clip.cam2world[[0, -1]])
        assert path.times[0] == 0 and path.times[-1] == 1 and (np.diff(path.times) > 0).all()
        focal, centre = path.intrinsics[0][0, 0], path.intrinsics[0][:2, 2]
        assert np.isclose(focal, clip.intrinsics[0][0, 0]) and np.allclose(centre, [79.5, 47.5])


def test_a_path_that_sees_nothing_gets_a_sentence(clip, tmp_path):
    for turn, place in ((np.diag([-1, 1, -1]), [0, 0, 0]), (np.eye(3), [0, 0, 1e5]), (np.eye(3), [0, 0, -1e5])):
        path = read_camera_path(document(clip))
        path.cam2world[:, :3, :3] = path.cam2world[:, :3, :3] @ turn
        path.cam2world[:, :3, 3] += place
        with pytest.raises(InputError, match="sees nothing of the scene"):
            render_camera_path(clip, path, tmp_path / "path.mp4")
    assert not list(tmp_path.iterdir())


def test_a_byte_order_mark_is_read_over(clip, tmp_path):
    (tmp_path / "path.json").write_text(json.dumps(document(clip)), encoding="utf-8-sig")
    assert read_camera_path(tmp_path / "path.json").fps == 6


def test_what_nerfstudio_writes_itself_is_read(clip):
    """Rows of four, no times, sides as floats: as its viewer and others do."""
    written = document(clip, render_height=96.0, render_width=160.0)
    del written["camera_type"], written["fps"]
    for entry in written["camera_path"]:
        del entry["render_time"], entry["aspect"]
        entry["camera_to_world"] = np.reshape(entry["camera_to_world"], (4, 4)).tolist()
    path = read_camera_path(written)
    assert np.allclose(path.times, np.linspace(0, 1, 12)) and path.size == (160, 96)


def test_a_path_along_the_filmed_one_shows_the_clip(clip, tmp_path):
    told = []
    path = read_camera_path(document(clip))
    render_camera_path(Scene(clip), path, tmp_path / "path.mp4", lambda share, text: told.append((share, text)))
    played, fps = decode(tmp_path / "path.mp4")
    assert fps == 6 and played.shape == (12, 96, 160, 3)
    for k, step in ((0, 0), (11, 5)):
        error = np.abs(played[k].astype(int) - clip.frames[step])
        assert error.mean() < 14 and error[clip.dynamic[step]].mean() < 25
    assert [share for share, _ in told] == [k / 12 for k in range(12)] and "3 of 12" in told[2][1]


def test_what_nobody_filmed_stays_dark(clip, tmp_path):
    away = document(clip)
    for entry in away["camera_path"][1:]:  # turned round
        matrix = np.reshape(entry["camera_to_world"], (4, 4))
        entry["camera_to_world"] = (matrix @ np.diag([-1.0, 1, -1, 1])).ravel().tolist()
    render_camera_path(clip, read_camera_path(away), tmp_path / "path.mp4")
    played, _ = decode(tmp_path / "path.mp4")
    assert np.abs(played[1:].astype(int) - DARK).max() < 12


def test_what_is_switched_off_is_not_in_it(clip, tmp_path):
    path, scene = read_camera_path(document(clip, count=2)), Scene(clip)
    (number,) = set(np.unique(scene.movers)) - {0}
    seen = []
    for k, without in enumerate(([], [number], [number + 1])):
        render_camera_path(Scene(clip, without=frozenset(without)), path, tmp_path / f"{k}.mp4")
        seen.append(decode(tmp_path / f"{k}.mp4")[0][0][clip.dynamic[0]].astype(int).mean(axis=0))
    orange = clip.frames[0][clip.dynamic[0]].mean(axis=0)
    errors = [np.abs(colour - orange).max() for colour in seen]
    assert errors[0] < 25 and errors[2] < 25 and errors[1] > 60
    render_camera_path(Scene(clip, still=False), path, tmp_path / "alone.mp4")
    alone = decode(tmp_path / "alone.mp4")[0][0].astype(int)
    far = cv2.dilate(clip.dynamic[0].astype(np.uint8), np.ones((9, 9))) == 0
    assert np.abs(alone[far] - DARK).max() < 30
    assert np.abs(alone[clip.dynamic[0]].mean(axis=0) - orange).max() < 25


def test_a_narrower_field_shows_things_larger(clip, tmp_path):
    def box(fov):
        one = document(clip, count=2, fps=2)
        for entry in one["camera_path"]:
            entry |= {"fov": fov, "camera_to_world": (clip.cam2world[2] @ OPENGL).ravel().tolist(), "render_time": 0.4}
        render_camera_path(clip, read_camera_path(one), tmp_path / "path.mp4")
        red, green, blue = np.moveaxis(decode(tmp_path / "path.mp4")[0][0].astype(int), -1, 0)
        return ((red - blue > 70) & (red > 1.25 * green)).sum()

    assert 1.7 < box(45) / box(60) < 2.2  # (tan 30 / tan 22.5)^2 = 1.94


def test_raising_in_progress_leaves_no_file(clip, tmp_path):
    def stop(share, text):
        if share > 0.3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        render_camera_path(clip, read_camera_path(document(clip)), tmp_path / "path.mp4", stop)
    assert not list(tmp_path.iterdir())


def changed(keys, value):
    def change(written):
        *way, last = keys
        for key in way:
            written = written[key]
        if value is None:
            del written[last]
        else:
            written[last] = value

    return change


FIRST = ("camera_path", 0)
BAD = {
    "no list camera_path": changed(["camera_path"], None),
    "has no list": changed(["camera_path"], [1, 2]),
    "fewer than two views": lambda written: written["camera_path"].__delitem__(slice(1, None)),
    "fewer than two views; add": changed(["camera_path"], []),
    "its seconds is 1000": changed(["seconds"], 1000),
    "its seconds is None": changed(["seconds"], None),
    "its render_width is 100000": changed(["render_width"], 100000),
    "its render_height is '720'": changed(["render_height"], "720"),
    "more than 60 pictures a second": changed(["seconds"], 0.05),
    "camera_type is 'fisheye'": changed(["camera_type"], "fisheye"),
    "its fov is nan": changed([*FIRST, "fov"], float("nan")),
    "its fov is True": changed([*FIRST, "fov"], True),
    "its fov is 180": changed([*FIRST, "fov"], 180),
    "its render_time is 1.5": changed([*FIRST, "render_time"], 1.5),
    "view 1 is not 16 numbers": changed([*FIRST, "camera_to_world"], [1, 2, 3]),
    "of view 1 is not 16": changed([*FIRST, "camera_to_world"], None),
    "no place": changed([*FIRST, "camera_to_world", 3], float("nan")),
    "that are no place": changed([*FIRST, "camera_to_world", 3], 1e30),
    "does more than turn": changed([*FIRST, "camera_to_world", 0], 2.0),
}


@pytest.mark.parametrize("said", BAD)
def test_a_bad_document_gets_a_sentence(clip, said):
    written = copy.deepcopy(document(clip))
    BAD[said](written)
    with pytest.raises(InputError, match=said) as error:
        read_camera_path(written)
    assert str(error.value).endswith(".") and "\n" not in str(error.value)


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000, b'{"seconds": ' + b"9" * 5000 + b"}"])
def test_a_file_that_is_none_gets_a_sentence(tmp_path, text):
    (tmp_path / "camera_path.json").write_bytes(text)
    with pytest.raises(InputError, match="no camera path"):
        read_camera_path(tmp_path / "camera_path.json")


def test_a_path_of_too_many_views_is_said_to_be_too_large(clip, tmp_path):
    written = document(clip)
    written["camera_path"] *= 200_000 // len(written["camera_path"])
    (tmp_path / "camera_path.json").write_text(json.dumps(written))
    with pytest.raises(InputError, match="json' is larger than 20 MB, ten times") as error:
        read_camera_path(tmp_path / "camera_path.json")
    assert str(error.value).endswith(".") and "\n" not in str(error.value)
    count = len(written["camera_path"])
    with pytest.raises(InputError, match=f"{count} views in .* seconds are more than 60 pictures a second"):
        read_camera_path(written)


def test_from_the_terminal(clip, tmp_path, capsys):
    clip.save(tmp_path / "out", files=["arrays.npz"])
    (tmp_path / "camera_path.json").write_text(json.dumps(document(clip, count=4)))
    arguments = ["render", str(tmp_path / "out"), str(tmp_path / "camera_path.json"), "--out"]
    assert main([*arguments, str(tmp_path / "a.mp4")]) == 0
    assert len(decode(tmp_path / "a.mp4")[0]) == 4
    assert capsys.readouterr().out.strip() == str(tmp_path / "a.mp4")
    for out, said in (
        (tmp_path / "none" / "a.mp4", "No video can be written"),
        (tmp_path / "a.txt", "ends in .mp4"),
        ("/proc/a.mp4", "No video"),
    ):
        assert main([*arguments, str(out)]) == 2 and said in capsys.readouterr().err
    assert main(["render", str(tmp_path), arguments[2]]) == 2
    assert "no reconstruction" in capsys.readouterr().err
    assert main(["render", str(tmp_path / "out"), str(tmp_path / "a.json")]) == 2
    assert "a.json' to be read" in capsys.readouterr().err
