"""What can be set about a run, from Python and from the terminal, and what is said when it cannot be used."""

import json
import os
import re
import socket
import subprocess
import sys
import threading
import time
from dataclasses import asdict, fields

import numpy as np
import pytest
from PIL import Image

import easi3r
from easi3r import InputError, Options, sources, synthetic, video
from easi3r.cli import main

pytestmark = pytest.mark.usefixtures("few_pairs")


@pytest.fixture(scope="module")
def street():
    return synthetic.render("street", 4, 112, 64, seconds=0.6)


@pytest.fixture(scope="module")
def clip(street, tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    video.write(path, street.frames, 5)
    return path


def is_a_sentence(text):
    assert text.endswith(".") and "\n" not in text and len(text) < 330 and "Traceback" not in text
    return True


def refused(capsys, *arguments):
    """The one line on stderr with which the command line ends, exit code 2, as a sentence."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    *progress, last = capsys.readouterr().err.splitlines()
    assert last.startswith("error: ") and is_a_sentence(last) and not any("error" in line for line in progress)
    return last


# ------------------------------------------------------------------------------------------------------------- options


WRONG = [
    float("nan"),
    float("inf"),
    "high",
    "1",
    b"1",
    [1],
    (1, 2),
    {},
    object(),
    1 + 2j,
    10**5000,
    np.zeros((99, 99)),
    np.array([1]),
    Options,
]
ALSO_WRONG = {
    int: [True, np.True_, 2.5, 24.0, np.float32(24)],
    float: [True, np.True_, -1.0, np.float64("nan")],
    bool: [0, 1, 1.0, None, np.int64(1)],
    str: [True, 1, 2.5, None, "swin-" + "9" * 5000, "swin-٣"],
}


@pytest.mark.parametrize("name", [option.name for option in fields(Options)])
def test_what_no_option_can_be_gets_a_sentence(name):
    default = getattr(Options(), name)
    wanted = float if name == "fov" else int if default is None else type(default)
    also = [True, np.True_, -1, float("-inf")] if name == "scale" else ALSO_WRONG[wanted]
    for value in WRONG + also:
        if name == "scale" and isinstance(value, str) and value == "1":
            continue  # a number in a text is a size
        with pytest.raises(InputError) as error:
            Options(**{name: value})
        assert is_a_sentence(str(error.value)) and (name in str(error.value) or "graph" in str(error.value))


def test_numbers_of_numpy_are_numbers():
    given = Options(max_frames=np.int16(7), sensitivity=np.float32(0.25), fov=np.int64(60), refine=np.False_)
    assert given == Options(max_frames=7, sensitivity=0.25, fov=60.0, refine=False)
    assert json.loads(json.dumps(asdict(given)))["max_frames"] == 7  # as the report writes them


def test_every_option_can_be_given_in_the_terminal(clip, monkeypatch, tmp_path, capsys):
    seen = []

    def stop(clip, system, options, masks, progress, resume):
        seen.append((options, masks))
        raise InputError("Enough.")

    monkeypatch.setattr("easi3r.reconstruct", stop)
    main([str(clip), "--out", str(tmp_path / "o"), "--backbone", "preview"])
    given = {"max_frames": 7, "shot": 2, "graph": "swin-2", "sensitivity": 0.25, "fov": 60.0}
    given |= {"refine": False, "flow": False, "smooth": False, "scale": "height=1.6"}
    flags = []
    for name, value in given.items():
        flag = name.replace("_", "-")
        flags += [f"--no-{flag}"] if value is False else [f"--{flag}", str(value)]
    main([str(clip), "--out", str(tmp_path / "o"), "--backbone", "preview", *flags, "--masks", "a.png", "b.png"])
    main([str(clip), "--out", str(tmp_path / "o"), "--backbone", "preview", "--refine", "--masks", "a.mp4"])
    assert seen == [(Options(), None), (Options(**given), ["a.png", "b.png"]), (Options(), "a.mp4")]
    with pytest.raises(SystemExit):
        main(["--help"])
    told = " ".join(capsys.readouterr().out.split())
    for option in fields(Options):
        assert f"--{option.name.replace('_', '-')}" in told
        assert option.metadata.get("help", "") in told  # said once, in options.py


def test_a_run_that_cannot_begin_costs_a_stopped_one_nothing(clip, monkeypatch, tmp_path, capsys):
    def keep_a_part(clip, system, options, masks, progress, resume):
        seen.append([path.name for path in resume.glob("*")])
        resume.mkdir(parents=True, exist_ok=True)
        (resume / f"window-{len(seen)}.npz").touch()
        raise InputError("Stopped.")

    command, seen = [clip, "--out", tmp_path / "o", "--backbone", "preview"], []
    with monkeypatch.context() as patch:
        patch.setattr("easi3r.reconstruct", keep_a_part)
        refused(capsys, *command)
    refused(capsys, tmp_path / "typo.mp4", *command[1:])
    refused(capsys, *command, "--masks", tmp_path / "typo.png")
    monkeypatch.setattr("easi3r.reconstruct", keep_a_part)
    for flags in (["--resume"], [], ["--resume"]):
        refused(capsys, *command, *flags)
    assert seen == [[], ["window-1.npz"], [], ["window-3.npz"]]


def test_commands_that_cannot_be_understood_get_a_sentence(clip, capsys):
    assert "clip" in refused(capsys)
    assert 'a whole number from 0 to 5000, or "all"' in refused(capsys, clip, "--max-frames", "X")
    assert "--foo" in refused(capsys, clip, "--foo")
    assert "--max-frames" in refused(capsys, clip, "--max-frames")
    assert "source" in refused(capsys, clip, "--dataset-size", "big")
    refused(capsys, clip, "x" * 5000, "y")
    for option, value in (
        ("--max-frames", "many"),
        ("--max-frames", "9" * 5000),
        ("--sensitivity", "high"),
        ("--fov", "nan"),
        ("--fov", "-1"),
        ("--graph", "spiral"),
    ):
        assert value[:20] in refused(capsys, clip, option, value)


def test_the_version_is_told(capsys):
    with pytest.raises(SystemExit) as ended:
        main(["--version"])
    assert ended.value.code == 0 and capsys.readouterr().out == f"easi3r {easi3r.__version__}\n"


@pytest.mark.parametrize(
    "attempt, said",
    [
        (lambda frames: easi3r.reconstruct(frames, None), "The system is None"),
        (lambda frames: easi3r.reconstruct(frames, 3), "The system is 3"),
        (lambda frames: easi3r.reconstruct(frames, "preview", {"max_frames": 3}), "options is {'max_frames': 3}"),
        (lambda frames: easi3r.compare(frames, ["preview", "preview:no-masks"], {}), "options is {}"),
        (lambda frames: easi3r.reconstruct_all(["a.mp4"], "o", ["preview"], 5), "options is 5"),
        (lambda frames: easi3r.load_reconstruction(None), "The path is None"),
        (lambda frames: easi3r.reconstruct_all(["a.mp4"], None), "The path is None"),
        (lambda frames: easi3r.reconstruct_all(None, "o", ["preview"]), "clips is None; it must be a folder of clips"),
        (lambda frames: easi3r.reconstruct_all([None], "o", ["preview"]), r"clips is \[None\]"),
        (lambda frames: easi3r.reconstruct_all(["a.mp4"], "o", None), "systems is None; it must be a list"),
        (lambda frames: easi3r.reconstruct_all(["a.mp4"], "o", ["preview"], progress=5), "progress is 5; give a func"),
        (lambda frames: easi3r.reconstruct(frames, "preview", progress=0), "progress is 0; give a function"),
        (lambda frames: easi3r.compare(frames, ["preview", "preview:no-masks"], progress=5), "progress is 5"),
        (lambda frames: easi3r.compare(frames, None), "names is None; it must be a list"),
    ],
)
def test_what_python_gives_by_mistake_gets_a_sentence(street, attempt, said):
    with pytest.raises(InputError, match=said) as error:
        attempt(street.frames)
    assert is_a_sentence(str(error.value))


def test_results_cannot_be_saved_nowhere(tiny_result):
    with pytest.raises(InputError, match="The path is None"):
        tiny_result.save(None)


# --------------------------------------------------------------------------------------------------------------- paths


def test_addresses_are_not_followed(capsys, clip):
    address = "https://example.com/a.mp4?t=1"
    for arguments in ([address], [clip, "--backbone", "preview", "--max-frames", 2, "--masks", address]):
        said = refused(capsys, *arguments)
        assert f"'{address}'" in said and "download it first" in said


def special(kind, folder):
    """The path of a thing that is no clip."""
    path = folder / f"{kind}.mp4"
    if kind == "long":
        return "a" * 5000 + ".mp4"
    if kind == "long folder":
        return folder / ("a" * 5000) / "clip.mp4"
    if kind == "surrogate":
        return "clip\udcff.mp4"
    if kind == "nul":
        return "clip\0.mp4"
    if kind == "empty":
        return ""
    if kind == "dangling":
        path.symlink_to("nowhere.mp4")
    if kind == "circle":
        path.symlink_to(path.name)
    if kind == "pipe":
        os.mkfifo(path)
    if kind == "socket":
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(os.path.relpath(path))  # such names may have 108 characters
    return "/dev/zero" if kind == "device" else path


KINDS = {
    "long": "longer than",
    "long folder": "longer than",
    "surrogate": "UTF-8",
    "nul": "NUL",
    "empty": "empty",
    "dangling": "nowhere.mp4",
    "circle": "leads back",
    "pipe": "pipe",
    "socket": "pipe",
    "device": "device",
}


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such things")
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_gets_a_sentence_and_no_waiting(kind, tmp_path, capsys, clip):
    path, ended = special(kind, tmp_path), []

    def attempt():
        for tried in (lambda: sources.open_source(path), lambda: next(sources.open_source([path]).read([0]))):
            with pytest.raises(InputError) as error:
                tried()
            assert is_a_sentence(str(error.value))
        assert KINDS[kind] in refused(capsys, path, "--out", tmp_path / "out", "--backbone", "preview")
        masks = "--out", tmp_path / "out", "--backbone", "preview", "--max-frames", 2, "--masks"
        assert KINDS[kind] in refused(capsys, clip, *masks, path)
        ended.append(True)

    thread = threading.Thread(target=attempt, daemon=True)
    thread.start()
    thread.join(60)  # reading from a pipe would wait for ever
    assert ended and not (tmp_path / "out").exists()


@pytest.mark.skipif(sys.platform == "win32" or os.getuid() == 0, reason="root may read everything")
@pytest.mark.parametrize("kind", ["file", "folder", "inside"])
def test_what_may_not_be_read_gets_a_sentence(kind, clip, tmp_path, capsys):
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "clip.mp4"
    path.write_bytes(clip.read_bytes())
    (path if kind == "file" else folder).chmod(0)
    said = refused(capsys, folder if kind == "folder" else path)
    assert "may not be read by you" in said or "you may not look into" in said
    folder.chmod(0o700)


def test_places_that_cannot_hold_results_are_told_before_the_run(clip, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("easi3r.load_backbone", lambda *_, **__: pytest.fail("a run has begun"))
    (tmp_path / "file").write_text("stays")
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "masks").mkdir()
    for place, said in (
        (tmp_path / "file", "not a folder"),
        (tmp_path / "file" / "a" / "b", "not a folder"),
        (tmp_path / "link", "not a folder"),
        (tmp_path / "used", "masks"),
        *([("/proc/x", "cannot be written")] if os.path.exists("/proc/self") else []),  # it says that one may
        ("b" * 5000, "too long"),
        ("", "empty"),
        ("a\0b", "NUL"),
        ("a\udcff", "UTF-8"),
    ):
        assert said in refused(capsys, clip, "--out", place)
    with pytest.raises(InputError, match="no reconstruction"):
        easi3r.load_reconstruction("b" * 5000)


# -------------------------------------------------------------------------------------------- results among the photos


def test_a_second_run_does_not_take_the_first_ones_pictures_for_photos(street, tmp_path, capsys):
    photos = tmp_path / "photos"
    photos.mkdir()
    for k, frame in enumerate(street.frames):
        Image.fromarray(frame).save(photos / f"p{k}.png")
    for _ in range(2):
        assert main([str(photos), "--out", str(photos), "--backbone", "preview", "--max-frames", "2"]) == 0
        assert easi3r.load_reconstruction(photos).info["source_frames"] == 4
    assert any("path.png" in warning for warning in easi3r.load_reconstruction(photos).info["warnings"])
    (warning,) = sources.open_source(photos).warnings
    assert is_a_sentence(warning) and "path.png" in warning and "photos" in warning


def test_pictures_of_that_name_are_photos_where_no_run_has_written(street, tmp_path):
    for name in ("path.png", "a.png"):
        Image.fromarray(street.frames[0]).save(tmp_path / name)
    for archive in (None, b"text", b"PK\5\6" + bytes(18)):  # an archive of somebody else's makes no difference
        if archive is not None:
            (tmp_path / "arrays.npz").write_bytes(archive)
        opened = sources.open_source(tmp_path)
        assert len(opened.seconds) == 2 and opened.warnings == ()


# ------------------------------------------------------------------------------------------------------------ progress


def test_a_run_writes_every_file_and_through_a_pipe_its_progress_is_a_few_lines(clip, tmp_path):
    out = tmp_path / "out"
    command = [sys.executable, "-m", "easi3r", str(clip), "--out", str(out), "--backbone", "preview"]
    began = time.monotonic()
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    lines = re.split(r"[\r\n]+", done.stderr.strip())
    slow = (time.monotonic() - began) / 5  # a line every five seconds where the machine is busy
    assert done.returncode == 0 and all(re.match(r" *\d+%  \w", line) for line in lines), done.stderr
    texts = [re.sub(r"\d+", "", line.partition("%")[2]) for line in lines]
    assert len(lines) <= 14 + slow and "Writing the results" in lines[-1]
    assert {"  Reading the video", "  Outlining what moves", "  Writing the results"} <= set(texts)
    assert {"player.html", "scene.glb", "poses.txt", "arrays.npz", "README.txt"} <= {p.name for p in out.iterdir()}
    assert "preview" in done.stdout and "100%" in done.stderr
    assert easi3r.load_reconstruction(out).depth.shape[0] == 4


def test_a_system_or_a_backbone_but_not_both(clip, tmp_path, capsys):
    assert "exclude each other" in refused(
        capsys, clip, "--out", tmp_path / "o", "--system", "preview", "--backbone", "preview"
    )
    assert "unknown; use auto, preview" in refused(capsys, clip, "--out", tmp_path / "o", "--system", "spiral")
