"""What the page keeps for all visitors and for each of them, without a browser."""

import gc
import threading
import time
import weakref
import zipfile
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from easi3r import InputError, Options
from easi3r.backbones.preview import PreviewNetwork
from easi3r.export.archive import ARCHIVE, write_archive
from easi3r.system import registry
from easi3r.web import clips, jobs
from easi3r.web.files import Examples
from easi3r.web.pool import Pool
from easi3r.web.sessions import Session, Sessions
from easi3r.web.visitors import Visitors


class Loads:
    """Stands in for the loading of DUSt3R's weights: counts, and waits while it is told to."""

    def __init__(self):
        self.begun, self.go_on, self.weights = threading.Event(), threading.Event(), []
        self.go_on.set()

    def __call__(self, weights, device, precision, progress):
        self.begun.set()
        self.weights.append(weights)
        assert self.go_on.wait(20)
        network = PreviewNetwork()
        network.info = {**network.info, "weights": weights, "hash": "0"}
        return network


@pytest.fixture
def loads(monkeypatch):
    loads = Loads()
    rows = {name: replace(row, load=loads) if row.card.weights else row for name, row in registry._ROWS.items()}
    monkeypatch.setattr(registry, "_ROWS", rows)
    monkeypatch.setattr(registry, "has_gpu", lambda: True)
    monkeypatch.setattr("easi3r.web.pool.has_gpu", lambda: True)
    return loads


def test_planning_loads_and_fetches_nothing_on_a_machine_with_a_gpu(loads, walk, monkeypatch):
    pool = Pool()
    monkeypatch.setattr(clips, "POOL", pool)
    chosen = clips.choose([walk])
    said = clips.plan(chosen, 24, "auto")
    assert "Easi3R on DUSt3R" in said and "2.3 GB of weights are fetched on first use" in said
    card, plan = pool.plan("dust3r", 24, Options())
    assert (card.name, plan.pairs, plan.download_mb) == ("dust3r", 190, 2300)
    assert not loads.weights and not pool.networks()


def test_a_damaged_first_photo_is_no_reason_to_refuse_the_others(tmp_path):
    photos = [tmp_path / f"{k}.png" for k in range(4)]
    for path in photos:
        cv2.imwrite(str(path), np.full((60, 80, 3), 90, np.uint8))
    photos[0].write_bytes(b"broken")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in photos:
            archive.write(path, path.name)
    for chosen in (clips.choose(photos), clips.choose([tmp_path / "photos.zip"])):
        assert not chosen.problem and chosen.size == (80, 60)


def test_systems_with_the_same_weights_share_them(loads):
    pool = Pool()
    shared = {pool.system(name).network for name in ("auto", "easi3r-dust3r", "dust3r", "auto")}
    assert len(shared) == 1 and loads.weights == [registry.DUST3R]
    pool.system("easi3r-monst3r")
    assert loads.weights == [registry.DUST3R, registry.MONST3R] and len(pool.networks()) == 2
    assert pool.plan("dust3r", 24, Options())[1].download_mb == 0


def test_one_visitors_load_holds_up_nobody_who_wants_something_else(loads):
    pool, said = Pool(), []
    loads.go_on.clear()
    first = threading.Thread(target=pool.system, args=("easi3r-dust3r",))
    first.start()
    assert loads.begun.wait(10)
    assert pool.system("preview").name == "preview"
    pool.plan("auto", 24, Options())

    class Left(Exception):
        pass

    def leave(fraction, text):
        said.append(text)
        raise Left

    with pytest.raises(Left):
        pool.system("dust3r", leave)
    loads.go_on.set()
    first.join(10)
    assert said == ["Waiting for weights that another visitor is fetching"] and loads.weights == [registry.DUST3R]


def test_plans_follow_the_last_run_without_its_waiting(tiny_result):
    pool = Pool()
    large = replace(tiny_result, depth=np.ones((24, 288, 512), np.float32))
    system = pool.system("preview")
    before = pool.plan("preview", 24, Options())[1].seconds
    tiny_result.info |= {"pairs": 190, "seconds": {"read": 1.0, "motion": 99.0}}
    for few in (tiny_result, replace(large, depth=large.depth[:2])):  # tell nothing of others
        pool.note_run(system, few)
        assert pool.plan("preview", 24, Options())[1].seconds == before
    pool.note_run(system, large)
    assert pool.plan("preview", 24, Options())[1].seconds == pytest.approx(100) != before
    assert pool.plan("preview", 24, Options(graph="swin-1-noncyclic"))[1].seconds < 50


@pytest.mark.parametrize("name", ["/etc/passwd", "owner/name", "nothing"])
def test_names_from_outside_reach_no_file(name):
    for ask in (Pool().system, lambda n: Pool().plan(n, 2, Options())):
        with pytest.raises(InputError, match="unknown"):
            ask(name)


def test_a_visitors_result_is_gone_with_their_files(tiny_result):
    sessions, session = Sessions(), Session()
    sessions.keep("visitor", session)
    assert session.result() is None
    write_archive(tiny_result, session.folder / ARCHIVE)
    result = session.result()
    assert np.array_equal(result.depth, tiny_result.depth) and session.result() is result
    frames = weakref.ref(result.frames)
    del result
    sessions.keep("visitor", None)
    gc.collect()
    assert frames() is None and not session.folder.exists() and sessions.get("visitor") is None
    assert session.result() is None


def test_a_run_that_is_left_keeps_what_the_visitor_has_since():
    sessions, old, new = Sessions(), Session(), Session()
    sessions.keep("visitor", old)
    sessions.keep("visitor", new)
    sessions.drop("visitor", old)
    assert sessions.get("visitor") is new and new.folder.exists() and not old.folder.exists()
    sessions.close()
    assert not new.folder.exists()


def test_what_a_visitor_has_outlives_a_reload_but_not_their_going(monkeypatch):
    monkeypatch.setattr("easi3r.web.visitors.KEEP", 0.6)
    gone = threading.Event()
    visitors = Visitors(lambda visitor: gone.set())

    def on_and_on(report):
        while True:
            report(0, "On")
            time.sleep(0.01)
        yield

    job = jobs.Job(on_and_on)
    visitors.came("page 1", "somebody")
    visitors.start("somebody", job)
    visitors.left("page 1")
    visitors.came("page 2", "somebody")  # the page loaded again
    assert not gone.wait(1) and visitors.going_on(visitors.of("page 2")) is job
    visitors.came("page 3", "somebody")
    visitors.left("page 3")
    assert not gone.wait(1)
    visitors.left("page 2")
    assert visitors.of("page 2") == "somebody"  # it may only have been offline
    assert gone.wait(5)
    assert list(job.events())[-1] == jobs.Failed("Cancelled.")


def test_a_page_that_is_used_before_it_could_say_whose_it_is_keeps_what_it_got():
    visitors = Visitors(lambda visitor: None)
    job = jobs.Job(lambda report: iter([jobs.Fetched()]))
    visitors.start(visitors.of("page"), job)
    assert visitors.came("page", "somebody") == "page" and visitors.last(visitors.of("page")) is job


def test_readers_hear_at_once_that_a_run_is_cancelled():
    go_on = threading.Event()

    def slow(report):
        go_on.wait(30)
        yield jobs.Fetched()

    job = jobs.Job(slow)
    job.cancel()
    assert list(job.events())[-1] == jobs.Failed("Cancelled.") and not job.ended
    go_on.set()


def events_of(make, **settings):
    session = Session()
    try:
        return list(jobs.Job(jobs.reconstruction(make, session, lambda: None), **settings).events())
    finally:
        session.close()


def test_every_example_has_a_result_of_its_own_frames():
    examples = Examples(Path(__file__).parents[1] / "examples")
    assert [clip.stem for clip in examples.clips] == ["orbit", "phone", "room", "street"]
    for clip in examples.clips:
        result = examples.load(clip)
        assert result.frames.shape[:3] == result.depth.shape == result.dynamic.shape and len(result.frames) > 10
        assert np.isfinite(result.depth).all() and result.dynamic.any() and result.info["system"]
        assert result.frames.std() > 20 and examples.prepared(clip, "") is None


def test_a_job_tells_its_progress_the_scene_and_the_files(tiny_result):
    def make(progress):
        progress(0.5, "Half")
        yield tiny_result, "a note"

    events = [event for event in events_of(make) if not isinstance(event, jobs.Tick)]
    scene, files = (next(e for e in events if isinstance(e, kind)) for kind in (jobs.SceneReady, jobs.FilesReady))
    assert (scene.coarse, scene.note) == (False, "a note") and "player.html" in files.files
    assert events[-1] is files and isinstance(events[0], jobs.Progress)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [(InputError("Too small."), "Too small."), (KeyError("x"), "Something went wrong on our side")],
)
def test_a_job_that_fails_says_a_sentence(error, sentence, caplog):
    def make(progress):
        raise error

    assert events_of(make)[-1].sentence.startswith(sentence)
    assert ("KeyError" in caplog.text) == isinstance(error, KeyError)  # a bug is in the server's log


def test_a_job_ends_when_it_is_cancelled():
    session, begun = Session(), threading.Event()

    def make(progress):
        while True:
            begun.set()
            progress(0.1, "On and on")
            time.sleep(0.01)

    job = jobs.Job(jobs.reconstruction(make, session, lambda: None))
    assert begun.wait(10)
    job.cancel()
    assert list(job.events())[-1] == jobs.Failed("Cancelled.")
    session.close()
