"""Many clips: what is found, what becomes of each, what a rerun does, other places than folders here, and Ray."""

import contextlib
import csv
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import fsspec
import numpy as np
import pytest
from clips import encode, numbered
from filelock import FileLock
from PIL import Image
from test_terminal import is_a_sentence, refused

import easi3r
from easi3r import InputError, Options, video
from easi3r.batch import Failure, run, table, work
from easi3r.cli import main
from easi3r.motion import Motion
from easi3r.system import Estimate, registry
from easi3r.system.preview import Preview


class Quick:
    """In place of the preview's run: the camera goes straight; notes the names of clips; may be told what to do."""

    def __init__(self, monkeypatch):
        self.ran, self.also = [], lambda clip: None
        monkeypatch.setattr(Preview, "stages", lambda system, *given: iter([self.run(*given)]))

    def run(self, clip, options, masks=None, progress=None):
        self.ran.append(clip.name)
        self.also(clip)
        shape = clip.frames.shape[:3]
        poses = np.tile(np.eye(4), (shape[0], 1, 1))
        poses[:, 0, 3] = 0.2 * np.arange(shape[0])
        matrices = np.tile(np.array([[80.0, 0, 48], [0, 80, 32], [0, 0, 1]]), (shape[0], 1, 1))
        depth, moves = np.full(shape, 2, np.float32), np.zeros(shape, bool)
        return Estimate(poses, matrices, depth, depth, Motion(moves, moves.astype(np.float32), {}), ("Quick.",))


@pytest.fixture
def quick(monkeypatch):
    """`Quick`, and of a result only the arrays and the report: all its files take a second."""
    save = easi3r.Reconstruction.save
    monkeypatch.setattr(
        easi3r.Reconstruction, "save", lambda result, folder: save(result, folder, files=["arrays.npz", "report.json"])
    )
    return Quick(monkeypatch)


@pytest.fixture
def folder(tmp_path):
    """Two videos of one stem, a folder of pictures, one with a video, and what is none; in .hidden what is not seen."""
    place = tmp_path / "clips"
    (place / "photos").mkdir(parents=True)
    (place / "other").mkdir()
    (place / "older").mkdir()
    (place / ".hidden").mkdir()
    frames = [numbered(k) for k in range(1, 5)]
    encode(place / "walk.mp4", frames)
    for copy in ("walk.mov", "older/walk.mp4"):
        shutil.copy(place / "walk.mp4", place / copy)
    for k, frame in enumerate(frames):
        Image.fromarray(frame).save(place / "photos" / f"{k}.png")
    shutil.copy(place / "photos" / "0.png", place / "single.png")
    (place / "notes.txt").write_text("no clip")
    (place / "broken.mp4").write_bytes((place / "walk.mp4").read_bytes()[:200])
    return place


def batch(*arguments):
    return main(["batch", *map(str, arguments), "--systems", "preview"])


def rows(out):
    return {row["folder"]: row for row in csv.DictReader((Path(out) / "batch.csv").open(encoding="utf-8"))}


def states(out):
    return {folder: row["state"] for folder, row in rows(out).items()}


def test_the_clips_of_a_folder_have_a_folder_and_a_row_each(quick, folder, tmp_path, capsys):
    out = tmp_path / "out"
    assert batch(folder, "--out", out, "--max-frames", 3) == 1
    told = capsys.readouterr()
    passed = {"notes.txt": "not one", "other": "no images", "single.png": "single photo", "older": "are not looked for"}
    for name, said in passed.items():
        assert any(name in line and said in line for line in told.out.splitlines())
    assert ".hidden" not in told.out and str(out / "batch.csv") in told.out and "100%" not in told.out
    expected = {"broken/preview": "failed", "photos/preview": "done", "walk.mov/preview": "done"}
    expected |= {"walk.mp4/preview": "done"}
    assert states(out) == expected
    found = rows(out)["walk.mp4/preview"]
    assert found["frames"] == "3" and float(found["seconds"]) >= 0 and found["warning"] and not found["failure"]
    assert is_a_sentence(rows(out)["broken/preview"]["failure"]) and not (out / "broken").exists()
    assert easi3r.load_reconstruction(out / "walk.mov" / "preview").info["options"]["max_frames"] == 3


def test_what_is_done_is_skipped_if_nothing_differs(quick, folder, tmp_path, monkeypatch, capsys):
    out = tmp_path / "out"
    listed = tmp_path / "list.txt"
    listed.write_text("# mine\n\nclips/walk.mp4\n  clips/photos\nclips/walk.mp4\n")
    for flags in ((), ("--resume",)):
        assert batch(listed, "--out", out, *flags) == 0 and quick.ran == ["walk.mp4", "photos"]
        assert f"Note: '{folder / 'walk.mp4'}' is named 2 times, and taken once." in capsys.readouterr().out
    assert set(states(out).values()) == {"skipped"} and rows(out)["photos/preview"]["frames"] == "4"
    assert batch(listed, "--out", out, "--max-frames", 2) == 0 and len(quick.ran) == 4  # other options
    os.utime(folder / "walk.mp4", (1, 1))  # another file
    assert batch(listed, "--out", out, "--max-frames", 2) == 0 and quick.ran[4:] == ["walk.mp4"]
    monkeypatch.setattr(work, "__version__", "9")  # another version
    assert batch(listed, "--out", out, "--max-frames", 2) == 0 and len(quick.ran) == 7
    (out / "photos" / "preview" / "report.json").write_text("half")
    monkeypatch.undo()
    Quick(monkeypatch)
    listed.write_text("clips/photos")
    assert batch(listed, "--out", out, "--max-frames", 2, "--resume") == 0  # what is not asked for stays in the table
    assert states(out) == {"photos/preview": "done", "walk/preview": "done"}


def test_a_clip_that_fails_is_a_row_and_not_the_end(quick, folder, tmp_path, monkeypatch):
    full = InputError("The results cannot be written to 'out' (No space left on device); choose another folder.")
    ends = {"photos": RuntimeError("a bug"), "walk.mov": MemoryError(), "walk.mp4": full}

    def fail(clip):
        raise ends[clip.name]

    quick.also = fail
    (folder / "broken.mp4").unlink()
    assert batch(folder, "--out", tmp_path / "out") == 1
    said = [row["failure"] for row in rows(tmp_path / "out").values()]
    assert said == ["RuntimeError: a bug", "out of memory", str(full)]
    quick.also = lambda clip: shutil.rmtree(folder / "photos", ignore_errors=True) or (folder / "walk.mov").unlink()
    clips = [folder / "walk.mp4", folder / "photos", folder / "walk.mov"]
    found = easi3r.reconstruct_all(clips, tmp_path / "out", ["preview"])
    assert [row.state for row in found] == ["done", "failed", "failed"] and "photos" in found[1].failure


def test_several_systems_one_of_which_cannot_be_had(quick, folder, tmp_path, monkeypatch):
    asked = []

    def fails(*given):
        asked.append(given)
        raise InputError("There is no network.")

    monkeypatch.setitem(registry._ROWS, "far", registry.Row(registry.row_of("preview").card, fails, Preview))
    clips = [folder / "walk.mp4", folder / "photos"]
    found = easi3r.reconstruct_all(clips, tmp_path / "out", ["far", "preview"], Options(max_frames=2))
    assert [(row.folder, row.state) for row in found] == [
        ("walk/far", "failed"),
        ("walk/preview", "done"),
        ("photos/far", "failed"),
        ("photos/preview", "done"),
    ]
    assert found[0].failure == "There is no network." and len(asked) == 1  # not waited for again


def test_what_cannot_be_used_is_said_in_a_sentence(quick, folder, tmp_path, capsys, monkeypatch):
    out = ("--out", tmp_path / "out", "--systems", "preview")
    (tmp_path / "empty").mkdir()
    (tmp_path / "list").write_text("# nothing\n")
    (tmp_path / "file").write_text("x")
    assert "no clip" in refused(capsys, "batch", tmp_path / "empty", *out)
    assert "names no clip" in refused(capsys, "batch", tmp_path / "list", *out)
    assert "no list" in refused(capsys, "batch", folder / "walk.mp4", *out)
    (tmp_path / "text.mp4").write_text("no video\n")
    assert "no list" in refused(capsys, "batch", tmp_path / "text.mp4", *out)
    assert "no file" in refused(capsys, "batch", tmp_path / "nowhere", *out)
    assert "unknown" in refused(capsys, "batch", folder, "--out", tmp_path / "out", "--systems", "preview,fra")
    twice = ("--out", tmp_path / "out", "--systems", "preview,preview")
    assert "'preview' is named twice" in refused(capsys, "batch", folder, *twice)
    with pytest.raises(InputError, match="systems is 'preview'; it must be a list") as error:
        easi3r.reconstruct_all(folder, tmp_path / "out", "preview")
    assert is_a_sentence(str(error.value))
    assert "not a folder" in refused(capsys, "batch", folder, "--out", tmp_path / "file", "--systems", "preview")
    assert "folder of the clips" in refused(capsys, "batch", folder, "--out", folder, "--systems", "preview")
    assert "max_frames" in refused(capsys, "batch", folder, *out, "--max-frames", -1)
    assert "spiral" in refused(capsys, "batch", "spiral://x/y", *out)
    assert not (tmp_path / "out").exists() and quick.ran == []
    monkeypatch.setitem(sys.modules, "ray", None)
    assert "not installed" in refused(capsys, "batch", folder, *out, "--address", "local")


def test_two_runs_in_one_folder_and_one_that_was_killed(quick, folder, tmp_path, capsys):
    out = tmp_path / "out"
    out.mkdir()
    held = (
        "import sys, time; from filelock import FileLock\n"
        "with FileLock(sys.argv[1]): print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", held, out / ".batch.lock"], stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        said = refused(capsys, "batch", folder, "--out", out, "--systems", "preview")
        assert "Another run" in said and quick.ran == []
        other.kill()
    assert batch(folder, "--out", out) == 1 and FileLock(out / ".batch.lock").acquire(timeout=0)


def test_a_full_disk_ends_the_run_and_keeps_what_is_done(quick, folder, tmp_path, capsys, monkeypatch):
    replaced, replace = [], os.replace

    def full(source, target):
        replaced.append(target)
        if len(replaced) > 2:
            raise OSError(28, "No space left on device")
        replace(source, target)

    (folder / "broken.mp4").unlink()
    monkeypatch.setattr(table.os, "replace", full)
    assert "No space left" in refused(capsys, "batch", folder, "--out", tmp_path / "out", "--systems", "preview")
    monkeypatch.setattr(table.os, "replace", replace)
    assert states(tmp_path / "out") == {
        "photos/preview": "done",
        "walk.mov/preview": "waiting",
        "walk.mp4/preview": "waiting",
    }
    before = len(quick.ran)
    assert batch(folder, "--out", tmp_path / "out") == 0 and len(quick.ran) == before + 1  # two were done


def test_clips_and_results_on_a_server(quick, folder, tmp_path):
    files = fsspec.filesystem("memory")
    files.put(str(folder), "/batch/clips", recursive=True)
    assert batch("memory://batch/clips", "--out", "memory://batch/out") == 1
    read = csv.DictReader(files.cat_file("/batch/out/batch.csv").decode().splitlines())
    found = {row["folder"]: row for row in read}
    assert {name: row["state"] for name, row in found.items()} == {
        "broken/preview": "failed",
        "photos/preview": "done",
        "walk.mov/preview": "done",
        "walk.mp4/preview": "done",
    }
    report = json.loads(files.cat_file("/batch/out/photos/preview/report.json"))
    assert report["source"] == "photos" and report["frames"] == 4 and len(quick.ran) == 3
    files.get("/batch/out/walk.mp4/preview", str(tmp_path / "here"), recursive=True)
    assert len(easi3r.load_reconstruction(tmp_path / "here").frames) == 4
    files.pipe_file("/batch/list.txt", b"clips/photos\nmemory://batch/clips/gone.mp4")
    assert batch("memory://batch/list.txt", "--out", "memory://batch/out") == 1 and len(quick.ran) == 3  # skipped
    read = csv.DictReader(files.cat_file("/batch/out/batch.csv").decode().splitlines())
    (_, gone) = read
    assert gone["state"] == "failed" and is_a_sentence(gone["failure"]) and "gone.mp4" in gone["failure"]
    assert batch(f"file://{folder}", "--out", f"file://{tmp_path}/local") == 1
    assert states(tmp_path / "local")["photos/preview"] == "done"
    files.rm("/batch", recursive=True)


def test_what_progress_raises_ends_the_run():
    class Stop(Exception):
        pass

    def progress(fraction, text):
        if fraction > 0.5:
            raise Stop

    def make():
        return lambda item, report: report(0.5, "Working") or (1 / item)

    outcomes = run({"a": 0, "b": 1, "c": 2}, make, lambda fraction, text: None)
    assert list(outcomes) == [("a", Failure("ZeroDivisionError: division by zero")), ("b", 1.0), ("c", 0.5)]
    found = run({"a": 0, "b": 1, "c": 2, "d": 3}, make, progress)
    assert [next(found)[0], next(found)[0]] == ["a", "b"]
    with pytest.raises(Stop):
        next(found)


# ------------------------------------------------------------------------------------------------------------------ Ray


def test_a_cluster_that_cannot_be_reached_gets_a_sentence_soon(folder, tmp_path, capsys):
    pytest.importorskip("ray", reason="ray is not installed")
    out, began = ("--out", tmp_path / "out", "--systems", "preview", "--address"), time.monotonic()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # something else listens there, such as a dashboard
        port = silent.getsockname()[1]
        assert "No Ray cluster answers" in refused(capsys, "batch", folder, *out, f"127.0.0.1:{port}")
    assert "No Ray cluster answers" in refused(capsys, "batch", folder, *out, f"127.0.0.1:{port}")
    assert "cannot be used" in refused(capsys, "batch", folder, *out, "nonsense")
    assert time.monotonic() - began < 15


@pytest.fixture(scope="module")
def two_machines(tmp_path_factory):
    """Address of a Ray cluster of two machines with a core each, both of them this one."""
    ray = pytest.importorskip("ray", reason="ray is not installed")
    from ray.cluster_utils import Cluster

    root = str(Path(__file__).parents[1])
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (root, os.environ.get("PYTHONPATH"))))
    machines = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    machines.add_node(num_cpus=1)
    yield machines.address
    ray.shutdown()
    machines.shutdown()


def working_here():
    """Processes of the cluster's actors that work on an item: children of a raylet that is a child of this process."""

    def parent(process):
        return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])

    found = []
    for process in (path.name for path in Path("/proc").glob("[0-9]*")):
        with contextlib.suppress(OSError):  # it has ended
            title = Path(f"/proc/{process}/cmdline").read_bytes()
            if title.startswith(b"ray::_Actor.do") and parent(parent(process)) == os.getpid():
                found.append(int(process))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux tells which processes there are")
def test_a_worker_that_is_killed_costs_its_clip_a_second_try(two_machines, tmp_path, monkeypatch):
    """12 clips on two machines; the process that works on one of them is killed in the middle."""
    import ray

    clips, out, killed = tmp_path / "clips", tmp_path / "out", []
    clips.mkdir()
    for k in range(12):
        video.write(clips / f"clip{k}.mp4", np.stack([numbered(8 * k + t, 32, 48) for t in range(2)]), 8)

    def killer():
        while not killed:
            time.sleep(0.05)
            if (out / "batch.csv").exists() and "done" in states(out).values():
                killed.extend(working_here()[:1])
                for process in killed:
                    os.kill(process, signal.SIGKILL)

    thread = threading.Thread(target=killer, daemon=True)
    thread.start()
    assert batch(clips, "--out", out, "--address", two_machines, "--max-frames", 2) == 0
    thread.join(5)
    assert len(killed) == 1 and not ray.is_initialized()
    found = [row["folder"] for row in csv.DictReader((out / "batch.csv").open(encoding="utf-8"))]
    assert found == [f"clip{k}/preview" for k in range(12)] and set(states(out).values()) == {"done"}
    assert all((out / name / "report.json").exists() for name in found)
