"""Results to test with, computed from formulas: exact cameras, depth and masks without running anything."""

import atexit
import gc
import os
import shutil
import tempfile

# A folder for temporary files per process: tests count what is left in it, and two processes share the work. Threads of
# matrix libraries wait by spinning, which takes the other process's time.
os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp(prefix="t-")
atexit.register(shutil.rmtree, tempfile.tempdir, ignore_errors=True)
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "OPENCV_FOR_THREADS_NUM")
os.environ |= dict.fromkeys(_THREADS, "1") if "PYTEST_XDIST_WORKER" in os.environ else {}

# isort: split

from functools import partial

import numpy as np
import pages
import pytest
from scipy.spatial.transform import Rotation

from easi3r import pairs as graphs
from easi3r import synthetic, video
from easi3r.backbones.preview import two_view
from easi3r.camera import Camera, Framing, pose
from easi3r.reconstruction import Reconstruction
from easi3r.web import visitors


def pytest_collection_finish():
    """What is there by now stays: to look through it whenever a run gives memory back takes a quarter of a second."""
    gc.collect()
    gc.freeze()


def analytic_result(n_frames=6, width=64, height=48):
    """A textured floor and wall with a box sliding to the right before them, seen by a camera that moves and turns."""
    camera = Camera.centred(0.9 * width, width, height)
    frames, depth, dynamic, cam2world = [], [], [], []
    for t in np.linspace(0, 1, n_frames):
        turn = Rotation.from_euler("yx", [-10 * t, 3 * t], degrees=True)
        matrix = pose(turn.as_matrix(), [0.9 * t, -0.2 * t, 0.5 * t])
        image, z, moves = _cast(camera.rays(), matrix, -1.2 + 2.0 * t)
        for column, value in zip((frames, depth, dynamic, cam2world), (image, z, moves, matrix)):
            column.append(value)
    confidence = 1 + 3 * np.exp(-np.array(depth) / 4)
    confidence[:, :2, :2] = 0
    random = np.random.default_rng(0)
    framing = Framing.fit((3 * width + 7, 3 * height + 4), width, 8)
    assert framing.size == (width, height)
    return Reconstruction(
        frames=np.array(frames),
        timestamps=0.5 + np.arange(n_frames) / 8,
        cam2world=np.array(cam2world),
        intrinsics=np.repeat(camera.intrinsics[None], n_frames, axis=0),
        depth=np.array(depth, np.float32),
        confidence=confidence.astype(np.float32),
        dynamic=np.array(dynamic),
        motion=np.array(dynamic, np.float32) * 0.9,
        evidence={
            "A_ref_mean": random.random((n_frames, height // 8, width // 8), np.float32),
            "clusters": random.integers(0, 64, (n_frames, height // 8, width // 8)).astype(np.float32),
        },
        framing=framing,
        info={"system": "analytic", "seconds": {"encode": np.float32(0.25)}, "warnings": ["Only a test."]},
    )


def _cast(rays, cam2world, box_x):
    """Image uint8, z depth and mask of moving pixels along camera rays (H,W,3) with z = 1."""
    eye, rays = cam2world[:3, 3], rays @ cam2world[:3, :3].T
    floor = np.where(rays[..., 1] > 0, (1.0 - eye[1]) / np.maximum(rays[..., 1], 1e-9), np.inf)
    z = np.minimum(floor, (6.0 - eye[2]) / rays[..., 2])
    low, high = np.array([box_x - 0.4, 0.2, 2.6]), np.array([box_x + 0.4, 1.0, 3.4])
    with np.errstate(divide="ignore"):
        slabs = np.stack([(low - eye) / rays, (high - eye) / rays])
    near, far = slabs.min(0).max(-1), slabs.max(0).min(-1)
    hit = (near < far) & (near > 0) & (near < z)
    z = np.where(hit, near, z)
    at = eye + rays * z[..., None] - np.where(hit, box_x, 0)[..., None] * [1, 0, 0]
    check = np.floor(at * 2 + 1e-6).sum(-1) % 2
    x, y, z_world = np.moveaxis(at, -1, 0)
    colour = np.stack([120 + 60 * np.sin(1.3 * x), 110 + 50 * np.cos(z_world), 90 + 40 * np.sin(2 * y)], axis=-1)
    colour = np.where(hit[..., None], [210, 150, 40], colour) * (0.65 + 0.35 * check)[..., None]
    return colour.clip(0, 255).astype(np.uint8), z, hit


@pytest.fixture
def tiny_result():
    """A `Reconstruction` of 6 frames of 64 x 48 with a moving box; its own copy for every test."""
    return analytic_result()


@pytest.fixture(scope="module")
def clip(request):
    """The rendered room with the T frames of W x H that a module names; many modules have their own instead."""
    return synthetic.render("room", request.module.T, request.module.W, request.module.H)


@pytest.fixture(scope="module")
def pairs(clip):
    """What a network would say of its frame pairs."""
    return list(synthetic.predictions(clip, graphs.build(len(clip.frames))))


@pytest.fixture
def few_pairs(monkeypatch):
    """The preview looks for the focal in 3 pairs of frames instead of 10, which takes most of a small run: for tests
    that are about something else.
    """
    monkeypatch.setattr(two_view, "find_focal", partial(two_view.find_focal, n_pairs=3))


# ---- the page


@pytest.fixture(scope="session")
def address():
    """Of the page, which runs from here on."""
    import app

    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True)
    gc.freeze()
    yield url
    app.demo.close()


@pytest.fixture
def soon_forgotten(monkeypatch):
    """What visitors have is deleted as soon as they have gone."""
    monkeypatch.setattr(visitors, "KEEP", 0.5)


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium; skips where there is none."""
    playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    if pages.BROWSER is None:
        pytest.skip("no Chromium on this machine")
    with playwright_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=pages.BROWSER, args=pages.FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def walk(tmp_path_factory):
    """A clip that is quick to reconstruct: 4 frames of 96 x 64."""
    path = tmp_path_factory.mktemp("walk") / "walk.mp4"
    video.write(path, synthetic.render("street", 4, 96, 64).frames, 8)
    return path
