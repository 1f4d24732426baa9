"""easi3r view, and the README's example on saved results."""

import os
import re
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from conftest import analytic_result
from test_terminal import refused

import easi3r
from easi3r.cli import main
from easi3r.view import find_player

README = (Path(easi3r.__file__).parents[1] / "README.md").read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """A folder of results without a player."""
    folder = tmp_path_factory.mktemp("results")
    analytic_result().save(folder, files=["arrays.npz"])
    return folder


def test_a_comparison_is_opened_too(tmp_path):
    (tmp_path / "compare.html").write_text("side by side")
    assert find_player(tmp_path) == tmp_path / "compare.html"


def test_a_player_is_written_where_it_is_missing_or_old(results, monkeypatch):
    player = find_player(results)
    assert player == results / "player.html" and "analytic" in player.read_text()
    player.write_text("new enough")
    assert find_player(results) == player and player.read_text() == "new enough"
    os.utime(player, (0, 0))
    access = os.access
    monkeypatch.setattr("os.access", lambda path, mode: Path(path) != results and access(path, mode))
    elsewhere = find_player(results)
    assert elsewhere.parent != results and "analytic" in elsewhere.read_text() and player.read_text() == "new enough"
    monkeypatch.undo()
    assert "analytic" in find_player(results).read_text()
    analytic_result().save(results, files=["player.html", "arrays.npz"])  # files of one result have one time
    before = player.stat().st_mtime_ns
    assert find_player(results).stat().st_mtime_ns == before


def test_view_opens_the_browser_or_says_what_to_open(results, monkeypatch, capsys, tmp_path):
    opened = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.chdir(results.parent)
    assert main(["view", results.name]) == 0
    assert opened == [(results / "player.html").as_uri()]
    told = capsys.readouterr()
    assert told.out.strip() == str(results / "player.html") and not told.err
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("sys.platform", "linux")
    assert main(["view", str(results)]) == 0 and len(opened) == 1
    told = capsys.readouterr()
    assert told.out.strip() == str(results / "player.html") and "no browser here" in told.err
    for place in (tmp_path, tmp_path / "nowhere", "", "a\0b"):
        refused(capsys, "view", place)
    (tmp_path / "arrays.npz").write_bytes(b"text")
    assert "damaged" in refused(capsys, "view", tmp_path)


def test_the_example_of_the_readme_runs_as_it_stands(results, tmp_path, monkeypatch):
    (code,) = re.findall(r'```python\n([^`]*load_reconstruction\("results"\)[^`]*)```', README)
    assert len(code.strip().splitlines()) <= 14
    (tmp_path / "results").symlink_to(results)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(mpl, "get_backend", mpl.get_backend)
    mpl.use("Agg")
    known: dict = {}
    exec(compile(code, "README.md", "exec"), known)  # noqa: S102 - ours
    assert (tmp_path / "my-path.png").stat().st_size > 5000
    result = analytic_result()
    k, pose = result.intrinsics[-1], np.linalg.inv(result.cam2world[-1])
    x, y, z = k @ (pose[:3, :3] @ known["point"] + pose[:3, 3])
    assert np.allclose(known["pixel"], [x / z, y / z]) and known["depth"] == pytest.approx(z)
