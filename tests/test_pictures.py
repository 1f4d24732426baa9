"""Orbit video, look inside, confidence and path plot: decoded again and compared with what is known exactly."""

from dataclasses import replace
from functools import partial

import av
import cv2
import numpy as np
import pytest
from conftest import analytic_result
from PIL import Image

from easi3r import video
from easi3r.errors import InputError
from easi3r.export.inside import write_confidence, write_inside
from easi3r.export.orbit import write_orbit
from easi3r.export.plot import END, PATH, START, TRACK, write_path_plot
from easi3r.export.scene import Scene

DARK = np.array([22, 24, 29])  # where nothing is known
GAP, LABEL, TILE = 6, 24, 316  # the layout of the look inside


def decode(path):
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        return np.stack([f.to_ndarray(format="rgb24") for f in container.decode(stream)]), float(stream.average_rate)


@pytest.fixture(scope="module")
def clip():
    return analytic_result(6, 160, 96)


@pytest.fixture(scope="module")
def orbit(clip, tmp_path_factory):
    path = tmp_path_factory.mktemp("orbit") / "orbit.mp4"
    write_orbit(Scene(clip), path, width=160)
    return decode(path)


def unknown(picture):
    return np.abs(picture.astype(int) - DARK).max(axis=-1) < 12


def box_pixels(picture):
    """Where the yellow box is."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return (red - blue > 70) & (red > 1.25 * green)


def centre(mask):
    return np.argwhere(mask).mean(axis=0)


def test_orbit_starts_and_ends_with_the_clips_own_view(clip, orbit):
    played, fps = orbit
    assert fps == 24 and 4 <= len(played) / fps <= 6 and played.shape[1:] == (96, 160, 3)
    for picture, frame, dynamic in (
        (played[0], clip.frames[0], clip.dynamic[0]),
        (played[-1], clip.frames[-1], clip.dynamic[-1]),
    ):
        assert np.abs(centre(box_pixels(picture)) - centre(dynamic)).max() < 3
        assert 0.75 < box_pixels(picture).sum() / dynamic.sum() < 1.25
        assert np.abs(picture.astype(int) - frame).mean() < 14
    assert np.abs(played[0].astype(int) - clip.frames[0]).mean() < 8
    assert unknown(played[0]).mean() < 0.01


def test_orbit_goes_around_with_closed_surfaces(clip, orbit):
    played, _ = orbit
    specks = []
    for picture in played[::8]:
        hidden = unknown(picture)
        assert hidden.mean() < 0.25
        _, _, stats, _ = cv2.connectedComponentsWithStats(hidden.astype(np.uint8))
        specks.append((stats[1:, cv2.CC_STAT_AREA] < 8).sum())
    assert np.mean(specks) < 1  # no pepper but the encoder's, which is not the same each time
    middle = len(played) // 4
    assert np.abs(played[middle].astype(int) - played[0]).mean() > 15


def test_orbit_shows_an_object_only_at_its_time(clip, tmp_path):
    """The last frame six times over; the box is only known in the first three."""
    still = replace(
        clip,
        **{
            name: np.repeat(getattr(clip, name)[5:], 6, axis=0)
            for name in ("frames", "depth", "confidence", "dynamic", "cam2world")
        },
    )
    box = still.dynamic[0].copy()
    still.dynamic[3:] = False
    still.confidence[3:, box] = 0
    write_orbit(Scene(still), tmp_path / "a.mp4", width=160)
    played, _ = decode(tmp_path / "a.mp4")
    shown = np.array([box_pixels(picture).sum() for picture in played]) / box.sum()
    assert shown[:48].min() > 0.4 and shown[:4].min() > 0.8 and shown[49:].max() < 0.1


def odd(result, kind):
    """Variants of a result that must not be in the way."""
    nothing, everything = np.zeros_like(result.dynamic), np.ones_like(result.dynamic)
    if kind == "one frame":
        return replace(
            result,
            evidence={k: v[:1] for k, v in result.evidence.items()},
            **{
                name: getattr(result, name)[:1]
                for name in (
                    "frames",
                    "timestamps",
                    "cam2world",
                    "intrinsics",
                    "depth",
                    "confidence",
                    "dynamic",
                    "motion",
                )
            },
        )
    return replace(
        result,
        **{
            "nothing moves": {"dynamic": nothing, "motion": np.zeros_like(result.motion)},
            "everything moves": {"dynamic": everything},
            "unusable": {"confidence": np.zeros_like(result.confidence)},
            "no depth": {"depth": np.full_like(result.depth, np.nan)},
            "flat": {"depth": np.ones_like(result.depth)},
            "still camera": {"cam2world": np.repeat(np.eye(4)[None], len(result.frames), axis=0)},
            "no evidence": {"evidence": {}},
        }[kind],
    )


KINDS = [
    "one frame",
    "nothing moves",
    "everything moves",
    "unusable",
    "no depth",
    "flat",
    "still camera",
    "no evidence",
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_picture_of_odd_results(tiny_result, tmp_path, kind):
    result = odd(tiny_result, kind)
    write_orbit(Scene(result), tmp_path / "orbit.mp4", width=64)
    played, _ = decode(tmp_path / "orbit.mp4")
    assert played.shape[1:] == (48, 64, 3) and len(played) >= 96
    dark = unknown(played[0]).mean()
    assert dark > 0.99 if kind == "no depth" else dark < 0.2
    write_inside(Scene(result), tmp_path / "inside.mp4")
    assert len(decode(tmp_path / "inside.mp4")[0]) == len(result.frames)
    write_confidence(Scene(result), tmp_path / "confidence.mp4")
    played, _ = decode(tmp_path / "confidence.mp4")
    assert played.shape == result.frames.shape and (kind != "unusable" or played.max() < 10)
    write_path_plot(Scene(result), tmp_path / "path.png")
    plot = plot_area(tmp_path / "path.png")
    assert has(plot, START) and has(plot, END) == (kind not in ("one frame", "still camera"))
    assert has(plot, TRACK) == (kind not in ("nothing moves", "no depth"))


def test_portrait_orbit_is_upright(tmp_path):
    wide = analytic_result(3, 160, 80)
    columns = slice(56, 104)
    intrinsics = wide.intrinsics - np.array([[0, 0, 56], [0, 0, 0], [0, 0, 0]])
    result = replace(
        wide,
        intrinsics=intrinsics,
        **{name: getattr(wide, name)[:, :, columns] for name in ("frames", "depth", "confidence", "dynamic", "motion")},
    )
    write_orbit(Scene(result), tmp_path / "a.mp4", width=160)
    played, _ = decode(tmp_path / "a.mp4")
    assert played.shape[1:] == (160, 96, 3)
    small = cv2.resize(played[0], (48, 80), interpolation=cv2.INTER_AREA)
    assert np.abs(small.astype(int) - result.frames[0]).mean() < 12


def test_pictures_are_the_same_every_time(tiny_result, tmp_path, monkeypatch):
    drawn = []  # what is given to the encoder; x264 itself differs a little from run to run
    monkeypatch.setattr(video, "write", lambda path, frames, fps: drawn.append(np.stack(list(frames))))
    for write in (partial(write_orbit, width=64), write_inside, write_confidence):
        for _ in range(2):
            write(Scene(tiny_result), tmp_path / "unused.mp4")
        assert np.array_equal(*drawn[-2:])
    for name in "ab":
        write_path_plot(Scene(tiny_result), tmp_path / f"{name}.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


@pytest.mark.parametrize("width", [10, 5000, -1])
def test_orbit_width_out_of_range(tiny_result, tmp_path, width):
    with pytest.raises(InputError, match="width is .* between 64 and 1920"):
        write_orbit(Scene(tiny_result), tmp_path / "a.mp4", width=width)
    assert not (tmp_path / "a.mp4").exists()


# ---- look inside


def with_evidence(result, names, grid=(6, 10)):
    maps = {name: np.zeros((len(result.frames), *grid), np.float32) for name in names}
    for k, values in enumerate(maps.values()):
        values[2, :3, 1 + k], values[4, :3, 1 + k] = 1.0, 0.4
    return replace(result, evidence=maps)


def tile(played, k, clip_size):
    width, height = TILE, round(clip_size[1] * TILE / clip_size[0])
    row, column = divmod(k, 2)
    top, left = LABEL + row * (LABEL + height + GAP), GAP + column * (TILE + GAP)
    return played[:, top : top + height, left : left + width], played[:, top - LABEL : top, left : left + width]


@pytest.mark.parametrize("clustered", [True, False])
def test_inside_has_the_papers_tiles(clip, tmp_path, clustered):
    names = ["A_src_mean", "A_src_std", "A_ref_mean", "A_ref_std", "fused"]
    result = with_evidence(clip, names)
    labels = (np.arange(60) + np.arange(6)[:, None]).reshape(6, 6, 10) % 64  # every frame shifts them by one token
    if clustered:
        result.evidence["clusters"] = labels.astype(np.uint8)
    write_inside(Scene(result), tmp_path / "a.mp4")
    played, fps = decode(tmp_path / "a.mp4")
    assert len(played) == 6 and fps == pytest.approx(8) and 640 < played.shape[2] < 660
    tiles = [tile(played, k, (160, 96)) for k in range(8)]
    for _, label in tiles:
        assert label[0].max() > 180 and label[0].mean() < 80  # bright words on dark ground
    small = [
        np.stack([cv2.resize(p, (160, 96), interpolation=cv2.INTER_AREA) for p in pictures]) for pictures, _ in tiles
    ]
    assert np.abs(small[0].astype(int) - clip.frames).mean() < 6
    for k in range(5):  # evidence of token (row 1, column 1 + k), brighter in frame 2 than in frame 4
        bright = small[1 + k].mean(axis=-1)
        strong, weak = (bright[t, 16:32, 16 * (1 + k) : 16 * (2 + k)].mean() for t in (2, 4))
        assert strong > weak + 30 and weak > 30 and bright[0].max() < 20 and bright[2, 64:].max() < 25
    inner = cv2.erode(clip.dynamic[3].astype(np.uint8), np.ones((5, 5))) > 0
    if clustered:
        assert_one_colour_each(small[6], labels)
    else:  # an archive of former times
        assert small[6][3][inner].mean() > small[6][3][~clip.dynamic[3]].mean() + 60  # result.motion
    red = small[7][3].astype(int)
    red = red[..., 0] - red[..., 1:].max(axis=-1) > 60
    outer = cv2.dilate(clip.dynamic[3].astype(np.uint8), np.ones((5, 5))) > 0
    assert red[inner].mean() > 0.95 and red[~outer].mean() < 0.01


def assert_one_colour_each(pictures, labels):
    """Pictures (T,96,160,3) of labels (T,6,10): the same colour all the time, far from those of all others."""
    inner = pictures.reshape(6, 6, 16, 10, 16, 3)[:, :, 5:11, :, 5:11].mean(axis=(2, 4))
    colours = np.stack([inner[labels == k].mean(axis=0) for k in range(64)])
    assert np.abs(inner - colours[labels]).max() < 20
    apart = np.linalg.norm(colours[:, None] - colours, axis=-1) + 1000 * np.eye(64)
    assert apart.min() > 25


@pytest.mark.parametrize("size", [(48, 80), (33, 160), (160, 33)])
def test_inside_fits_any_shape(tmp_path, size):
    result = with_evidence(analytic_result(6, 64, 48), ["plane_mean", "an_unknown_map_with_quite_a_long_name"])
    resized = {
        name: np.stack([cv2.resize(a.astype(np.uint8), size) for a in getattr(result, name)])
        for name in ("frames", "dynamic", "motion")
    }
    write_inside(
        Scene(
            replace(
                result,
                frames=resized["frames"],
                dynamic=resized["dynamic"] > 0,
                motion=resized["motion"].astype(np.float32),
            )
        ),
        tmp_path / "a.mp4",
    )
    played, _ = decode(tmp_path / "a.mp4")
    assert 600 < played.shape[2] <= 1296 and played.shape[1] < 900


def test_confidence_is_brighter_where_surer(clip, tmp_path):
    write_confidence(Scene(clip), tmp_path / "a.mp4")
    played, fps = decode(tmp_path / "a.mp4")
    assert played.shape == clip.frames.shape and fps == pytest.approx(8)
    low, high = np.quantile(clip.confidence[clip.confidence > 0], [0.1, 0.9])
    sure, unsure = played[clip.confidence > high], played[(clip.confidence < low) & (clip.confidence > 0)]
    assert sure[:, 1].mean() > unsure[:, 1].mean() + 80


# ---- plot


def plot_area(path):
    image = np.asarray(Image.open(path))
    assert image.shape == (760, 960, 3)
    return image[100:690, 70:930]


def places(plot, colour):
    return np.argwhere(np.abs(plot.astype(int) - colour).max(axis=-1) < 12)


def has(plot, colour):
    return len(places(plot, colour)) > 15


def test_plot_shows_path_scene_and_motion(clip, tmp_path):
    write_path_plot(Scene(clip), tmp_path / "a.png")
    plot = plot_area(tmp_path / "a.png")
    assert all(has(plot, colour) for colour in (PATH, TRACK, START, END))
    start, end = (places(plot, colour).mean(axis=0) for colour in (START, END))
    right, ahead = end[1] - start[1], start[0] - end[0]
    assert right > 0 and ahead / right == pytest.approx(0.5 / 0.9, rel=0.1)  # both axes at one scale
    track = places(plot, TRACK)
    assert np.ptp(track[:, 1]) / right == pytest.approx(2.0 / 0.9, rel=0.25)
    assert track[:, 0].mean() < start[0] - 2 * ahead  # the box is ahead of the camera
    assert 0.05 < (plot.min(axis=-1) < 235).mean() < 0.9  # the scene, pale


def test_plot_enlarges_a_short_path(clip, tmp_path):
    cameras = clip.cam2world.copy()
    cameras[:, :3, 3] *= 0.02
    write_path_plot(Scene(replace(clip, cam2world=cameras)), tmp_path / "a.png")
    plot = plot_area(tmp_path / "a.png")
    starts, _ = cv2.connectedComponents((np.abs(plot.astype(int) - START).max(axis=-1) < 12).astype(np.uint8))
    assert starts - 1 == 2 and np.ptp(places(plot, PATH)[:, 1]) > 100
