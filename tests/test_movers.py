"""Movers one by one: followed through a clip, exported apart, called still or moving."""

from dataclasses import replace

import cv2
import numpy as np
import pages
import plyfile
import pygltflib
import pytest
from conftest import analytic_result
from PIL import Image

from easi3r import synthetic, video
from easi3r.correct import NOTE, call_moving, call_still
from easi3r.errors import InputError
from easi3r.export.scene import Scene
from easi3r.motion.movers import colour, follow
from easi3r.own_masks import read_masks
from easi3r.web.files import Examples

T, H, W = 9, 88, 160


def stage(*things, shake=0.0):
    """A `Reconstruction` of flat coloured discs (colour, depth, radius, t -> (u, v)) before a wall, and the number of
    the disc that each pixel shows, (T,H,W). shake: pixels by which a hand moves the picture.
    """
    result = analytic_result(T, W, H)
    v, u = np.mgrid[:H, :W]
    frames, depth, ids = np.full((T, H, W, 3), 90, np.uint8), np.full((T, H, W), 8.0, np.float32), np.zeros((T, H, W))
    focal = result.intrinsics[0, 0, 0]
    cam2world = np.repeat(np.eye(4)[None], T, axis=0)
    for t in range(T):
        cam2world[t, 0, 3] = shake * np.sin(2.0 * t) / focal * 4
        for k, (rgb, z, radius, path) in sorted(enumerate(things, 1), key=lambda thing: -thing[1][1]):
            middle = np.array(path(t)) - [cam2world[t, 0, 3] * focal / z, 0]
            disc = np.hypot(u - middle[0], v - middle[1]) < radius
            frames[t][disc], depth[t][disc], ids[t][disc] = rgb, z, k
    geometry = {"cam2world": cam2world, "depth": depth, "confidence": np.ones_like(depth)}
    return replace(result, frames=frames, dynamic=ids > 0, **geometry), ids.astype(np.uint8)


RED, BLUE, GREEN = (200, 40, 40), (40, 60, 200), (40, 180, 60)
CROSSING = (RED, 4.0, 16, lambda t: (20 + 15 * t, 45)), (BLUE, 4.2, 11, lambda t: (140 - 14 * t, 48))


def movers_of(result):
    return Scene(result).movers


def test_movers_keep_their_numbers_where_they_hide_each_other():
    result, truth = stage(*CROSSING, shake=3)
    movers = movers_of(result)
    assert movers.dtype == np.uint8 and np.array_equal(movers > 0, result.dynamic)
    assert (movers == truth)[truth > 0].mean() > 0.97  # the larger one is 1
    assert np.array_equal(movers, movers_of(result))


def test_what_touches_in_the_picture_is_told_apart_by_depth():
    near, far = (RED, 2.0, 16, lambda t: (50 + 6 * t, 50)), (RED, 6.0, 12, lambda t: (70 + 6 * t, 45))
    result, truth = stage(near, far)
    assert (movers_of(result) == truth)[truth > 0].mean() > 0.97
    level = replace(result, depth=np.full_like(result.depth, 4.0))
    assert movers_of(level).max() == 1


def test_a_mover_comes_back_with_its_number():
    result, truth = stage(CROSSING[0], (GREEN, 3.0, 8, lambda t: (40 + 8 * t, 80)))
    result.dynamic[3:6] &= truth[3:6] != 2
    movers = movers_of(result)
    assert set(np.unique(movers[truth == 2])) == {0, 2} and (movers[truth == 1] == 1).all()


def test_what_hides_a_mover_does_not_become_it():
    wall = (GREEN, 8.0, 7, lambda t: (120, 38)), (BLUE, 7.9, 5, lambda t: (120, 38))
    along = lambda t: min(20 + 15 * t, 120)  # until the head, green as well, is before the wall
    body, head = (RED, 4.0, 20, lambda t: (along(t), 62)), (GREEN, 4.0, 9, lambda t: (along(t), 36))
    result, truth = stage(*wall, body, head)
    movers = movers_of(result)
    assert (movers[truth >= 3] == 1).mean() > 0.99 and (movers[:6][truth[:6] <= 2] != 1).all()
    still = call_still(result, 0, 62, 20)
    assert not still.dynamic[7:].any() and still.dynamic[:6].any()


def test_specks_belong_to_the_nearest_mover():
    result, _ = stage(*CROSSING)
    result.dynamic[0, 2:4, 2:4] = result.dynamic[0, 80:82, 150:152] = True
    movers = movers_of(result)
    assert movers.max() == 2 and (movers[0, 2:4, 2:4] == 1).all() and (movers[0, 80:82, 150:152] == 2).all()


@pytest.mark.parametrize("depth", [0.0, np.nan, np.inf])
def test_movers_need_no_depth_and_no_motion(depth):
    result, _ = stage(CROSSING[0])
    arrays = result.cam2world, result.intrinsics, result.frames
    assert not follow(np.zeros_like(result.dynamic), result.depth, *arrays).any()
    assert follow(result.dynamic, np.full_like(result.depth, depth), *arrays).max() == 1
    one = follow(result.dynamic[:1], result.depth[:1], *(array[:1] for array in arrays))
    assert np.array_equal(one > 0, result.dynamic[:1])


def test_colours_are_far_apart_and_light():
    colours = np.array([colour(mover) for mover in range(100)], float)
    apart = np.linalg.norm(colours[:11, None] - colours[None, :11], axis=-1) + 1e3 * np.eye(11)
    assert apart.min() > 60 and len(np.unique(colours, axis=0)) == 100
    assert (colours[1:] @ [0.299, 0.587, 0.114] > 128).all() and not colours[0].any()


def test_files_tell_movers_apart(tmp_path):
    result, truth = stage(*CROSSING)
    result.save(tmp_path, files=["scene.glb", "moving", "masks", "masks.mp4", "cameras.json"])
    gltf = pygltflib.GLTF2().load(tmp_path / "scene.glb")
    below = {node.name: [gltf.nodes[k].name for k in node.children] for node in gltf.nodes if node.children}
    seen = {k: np.flatnonzero((truth == k).any(axis=(1, 2))).tolist() for k in (1, 2)}
    assert seen[2] == [0, 1, 2, 3, 5, 6, 7, 8]  # behind the other one in between
    assert below == {f"mover {k}": [f"mover {k}, frame {t}" for t in times] for k, times in seen.items()}
    movers = movers_of(result)
    for t in (0, T - 1):
        image = Image.open(tmp_path / f"masks/{t:05d}.png")
        assert image.mode == "P" and np.array_equal(image, movers[t])
        assert image.getpalette()[3:9] == [*colour(1), *colour(2)]
        vertices = plyfile.PlyData.read(tmp_path / f"moving/{t:05d}.ply")["vertex"]
        red = np.stack([vertices[name] for name in ("red", "green", "blue")], 1) == RED
        assert np.array_equal(vertices["mover"] == 1, red.all(axis=1)) and set(vertices["mover"]) == {1, 2}
    shown = video.read(tmp_path / "masks.mp4", T, W, 2).frames
    for k in (1, 2):  # in its colour, but for the outline and the number
        seen = shown[0][truth[0] == k]
        expected = np.round((np.array([RED, BLUE][k - 1]) + colour(k)) / 2)
        assert np.abs(np.median(seen, axis=0) - expected).max() < 16


def test_masks_are_read_back_exactly(tmp_path):
    result, _ = stage(*CROSSING)
    result.save(tmp_path, files=["masks"])
    clip = video.read(result.frames, T, W, 2)
    own = read_masks(tmp_path / "masks", clip)
    assert own.known.all() and np.array_equal(own.masks, result.dynamic) and not own.warnings


# ---- corrections


@pytest.fixture(scope="module")
def room():
    """The rendered room with its ball and its parcel, as a `Reconstruction`, and the number of each pixel's thing."""
    clip = synthetic.render("room", 6, 144, 88, seconds=1.2)
    motion = np.stack([cv2.GaussianBlur(moves.astype(np.float32), (0, 0), 3) for moves in clip.dynamic])
    base = analytic_result(6, 144, 88)
    result = replace(
        base,
        frames=clip.frames,
        cam2world=clip.cam2world,
        intrinsics=np.repeat(clip.intrinsics[None], 6, axis=0),
        depth=clip.depth,
        confidence=np.ones_like(clip.depth),
        dynamic=clip.dynamic,
        motion=motion,
    )
    return result, movers_of(result)


def middle(mask):
    """A pixel (row, column) well inside a mask (H,W)."""
    away = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, 3)
    return np.unravel_index(away.argmax(), mask.shape)


def overlap(mask, truth):
    return (mask & truth).sum() / (mask | truth).sum()


def test_one_mover_is_called_still_and_moving_again(room):
    result, ids = room
    assert ids.max() == 2
    for k in (1, 2):
        place = (3, *middle(ids[3] == k))
        still = call_still(result, *place)
        assert np.array_equal(still.dynamic, result.dynamic & (ids != k))
        again = call_moving(still, *place)
        assert overlap(again.dynamic & (ids != 3 - k), ids == k) > 0.6
        assert (again.dynamic & (ids == 3 - k)).sum() == (ids == 3 - k).sum()
        assert [edit["called"] for edit in again.info["corrections"]] == ["still", "moving"]
        assert "corrections" not in result.info and again.info["warnings"].count(NOTE) == 1
        assert again.depth is result.depth and again.cam2world is result.cam2world


def test_without_evidence_colours_depth_and_flow_tell_what_a_thing_is():
    result, truth = stage((RED, 4.0, 10, lambda t: (20 + 15 * t, 75)), (BLUE, 5.0, 14, lambda t: (130 - 3 * t, 35)))
    result = replace(result, dynamic=truth == 1, motion=np.zeros(truth.shape, np.float32))
    found = call_moving(result, 4, 35, 118).dynamic & (truth != 1)
    assert all(overlap(found[t], truth[t] == 2) > 0.8 for t in range(T))


def test_a_click_beside_a_mover_means_it():
    result, truth = stage(CROSSING[0])
    column = np.flatnonzero(truth[0, 45])[-1] + 2
    assert not call_still(result, 0, 45, column).dynamic.any()


@pytest.mark.parametrize(
    "call, place, said",
    [
        (call_still, (0, 5, 5), "already still"),
        (call_moving, (0, 45, 20), "already moves"),
        (call_still, (T, 5, 5), "frame is 9"),
        (call_moving, (0, -1, 5), "row is -1"),
        (call_moving, (0, 5, "abc"), "column is 'abc'"),
        (call_still, (0, float("nan"), 5), "outside"),
    ],
)
def test_clicks_that_mean_nothing_are_refused_in_one_sentence(call, place, said):
    result, _ = stage(*CROSSING)
    with pytest.raises(InputError, match=said) as error:
        call(result, *place)
    assert str(error.value).count(". ") == 0


def test_a_wall_is_no_thing():
    result, _ = stage(CROSSING[0])
    result.motion[:] = 0
    try:
        grown = call_moving(result, 0, 20, 120).dynamic & ~result.dynamic
    except InputError as error:
        assert "cannot be told" in str(error)
    else:
        assert grown[0].mean() <= 1 / 3


# ---- the page


def tap(page, column, row):
    """Tap the picture at a pixel of the working size."""
    box = page.locator("#touch img").bounding_box()
    scale = box["width"] / W
    page.locator("#touch img").click(position={"x": (column + 0.5) * scale, "y": (row + 0.5) * scale})


def test_a_tap_calls_a_mover_still_and_a_message_of_the_player_calls_it_moving(browser, address, monkeypatch):
    result, _ = stage(*CROSSING)
    result.info["frames"] = T
    monkeypatch.setattr(Examples, "load", lambda *_: result)
    page = pages.open_page(browser, address)
    page.locator("#examples button.gallery-item, #examples button").first.click()
    page.locator("#report", has_text="Computed beforehand").wait_for(timeout=90000)
    pages.open_tab(page, "What moves")  # before the scene is drawn, which takes the processor
    pages.wait_until_done(page)
    page.locator("#touch img").wait_for(timeout=90000)
    pages.slide(page, "#touch-moment", 2)
    page.wait_for_timeout(1000)
    tap(page, 126, 48)  # the second mover in the second frame
    page.locator("#touch-said", has_text="Mover 2 is marked as moving").wait_for(timeout=90000)
    page.locator("#touch-call", has_text="It stands still").click()
    page.locator("#touch-said", has_text="It stands still now").wait_for(timeout=90000)
    assert page.locator("#touch-again").is_visible()
    tap(page, 126, 48)
    page.locator("#touch-said", has_text="standing still").wait_for(timeout=90000)
    assert page.locator("#touch-call").inner_text() == "It moves"
    pages.wait_until_done(page)
    assert "corrected by hand" in page.locator("#mind").inner_text()
    assert "standing still" in page.locator("#touch-said").inner_text()  # what came of the first call has not wiped it
    page.evaluate("postMessage({easi3r: 'call', moving: true, frame: 0, row: 2, column: 1e9}, '*')")
    page.locator("[data-testid=toast-body]", has_text="outside the picture").wait_for(timeout=90000)
    page.evaluate("document.querySelector('#touch img').closest('button').focus()")
    page.keyboard.press("ArrowRight")
    assert page.locator("#touch-cross").is_visible()
    page.keyboard.press("Enter")
    page.locator("#touch-said", has_text="standing still").wait_for(timeout=90000)

    def refuse(*place):
        raise InputError("It cannot be told from what is around it.")

    monkeypatch.setattr("easi3r.web.what_moves.call_moving", refuse)
    page.locator("#touch-call", has_text="It moves").click()
    page.locator("[data-testid=toast-body]", has_text="cannot be told from").wait_for(timeout=90000)
    page.locator("#touch-said", has_text="Nothing was changed").wait_for(timeout=90000)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()
