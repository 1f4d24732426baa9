"""reconstruct(), the command line and what they do with difficult input."""

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import easi3r
from easi3r import InputError, scoring, synthetic, video
from easi3r.benchmark.examples import score
from easi3r.cli import main
from easi3r.metrics import jaccard, trajectory_errors

EXAMPLE = Path(__file__).parents[1] / "examples" / "orbit.mp4"


@pytest.fixture(scope="module")
def backbone():
    return easi3r.load_backbone("preview")


@pytest.fixture(scope="module")
def street():
    return synthetic.render("street", 6, 160, 96, seconds=0.6)


@pytest.fixture(scope="module")
def result(backbone):
    return easi3r.reconstruct(video.read(EXAMPLE, 8, 256, 16), backbone, easi3r.Options(max_frames=8))


def check_sound(result, n_frames):
    """What holds for every result, however hopeless the clip."""
    t, h, w = result.depth.shape
    assert t == n_frames and result.frames.shape == (t, h, w, 3)
    assert np.allclose(result.cam2world[0], np.eye(4))
    assert (
        np.isfinite(result.cam2world).all() and np.isfinite(result.depth).all() and np.isfinite(result.confidence).all()
    )
    assert (result.depth > 0).all() and (result.confidence >= 0).all()
    assert result.dynamic.dtype == bool and 0 <= result.motion.min() <= result.motion.max() <= 1
    assert result.points().shape == (t, h, w, 3)


def test_cameras_depth_and_masks_of_an_example_are_right(result):
    check_sound(result, 8)
    figures = score(result, synthetic.load_truth(EXAMPLE.with_suffix(".npz")))
    assert figures["ate"] < 0.05 and figures["rotation"] < 1 and figures["focal"] < 0.15
    assert figures["absrel"] < 0.1 and figures["J"] > 0.5


def test_the_report_says_what_a_user_needs_to_repeat_the_run(result):
    assert result.info["backbone"]["name"] == "preview" and result.info["options"]["max_frames"] == 8
    assert set(result.info["seconds"]) >= {"read", "motion", "masks"} and result.info["pairs"] == 32


@pytest.mark.usefixtures("few_pairs")
def test_the_same_input_gives_the_same_result(street, backbone):
    one, two = (easi3r.reconstruct(street.frames[:4], backbone) for _ in range(2))
    assert np.array_equal(one.dynamic, two.dynamic)
    assert np.allclose(one.cam2world, two.cam2world, atol=1e-6) and np.allclose(one.depth, two.depth, rtol=1e-5)


@pytest.mark.filterwarnings("error::RuntimeWarning")  # much of the picture is masked: no division by zero on the way
@pytest.mark.usefixtures("few_pairs")
def test_options_of_masks_and_pairs_reach_their_steps(street, backbone):
    few, many, rough = (
        easi3r.reconstruct(street.frames[:4], backbone, easi3r.Options(graph="swin-1-noncyclic", **options))
        for options in ({"sensitivity": 0.2}, {"sensitivity": 0.8}, {"sensitivity": 0.8, "refine": False})
    )
    assert few.info["pairs"] == 6 and few.dynamic.mean() < many.dynamic.mean()
    assert not np.array_equal(rough.dynamic, many.dynamic)
    star = easi3r.reconstruct(street.frames[:4], backbone, easi3r.Options(graph="oneref-0"))  # no pairs of neighbours
    assert star.info["pairs"] == 6 and np.isfinite(star.cam2world).all()


@pytest.mark.usefixtures("few_pairs")
def test_progress_rises_and_cancels(street, backbone):
    seen = []
    easi3r.reconstruct(street.frames[:4], backbone, progress=lambda fraction, text: seen.append((fraction, text)))
    fractions = [f for f, _ in seen]
    assert fractions == sorted(fractions) and 0 <= fractions[0] and fractions[-1] <= 1 and all(t for _, t in seen)

    class Enough(Exception):
        pass

    def stop(fraction, text):
        if fraction > 0.3:
            raise Enough

    with pytest.raises(Enough):
        easi3r.reconstruct(street.frames[:4], backbone, progress=stop)


def test_a_still_scene_has_hardly_a_mask(backbone):
    clip = synthetic.render("room", 5, 128, 80, moving=False)
    result = easi3r.reconstruct(clip.frames, backbone)
    assert result.dynamic.mean() < 0.1
    path = trajectory_errors(result.cam2world, clip.cam2world)
    assert path["ate"] < 0.05 * path["path"]


def test_a_long_lens_from_afar(backbone):
    """Little parallax for much distance: depth is noisy along the rays, and that must not turn the cameras."""
    scene = synthetic.SCENES["street"](np.random.default_rng(4))

    def from_afar(seconds):
        eye, target = map(np.array, scene.camera(seconds))
        return eye + [0, 0, 1.4 * np.linalg.norm(eye - target)], target

    clip = synthetic.render(replace(scene, focal=2.3, camera=from_afar), 6, 160, 96, seed=4)
    result = easi3r.reconstruct(clip.frames, backbone)
    assert 0.7 < result.intrinsics[0, 0, 0] / clip.intrinsics[0, 0] < 1.3
    path = trajectory_errors(result.cam2world, clip.cam2world)
    assert path["ate"] < 0.03 * path["path"]


@pytest.mark.parametrize("camera", ["still", "rotates"])
def test_without_parallax_it_says_so(camera, backbone):
    clip = synthetic.render("street", 6, 128, 80, camera=camera)
    result = easi3r.reconstruct(clip.frames, backbone)
    check_sound(result, 6)
    assert any("no depth can be seen" in w for w in result.info["warnings"])
    assert jaccard(result.dynamic, clip.dynamic).mean() > 0.4


def test_identical_frames_and_noise_give_a_result_that_warns(backbone):
    noise = np.random.default_rng(0).integers(0, 256, (3, 64, 96, 3), np.uint8)
    for frames in (noise, np.repeat(noise[:1], 3, axis=0), np.full((3, 64, 96, 3), 90, np.uint8)):
        result = easi3r.reconstruct(frames, backbone)
        check_sound(result, 3)
        assert len(result.info["warnings"]) > 1  # not only that there are few frames


@pytest.mark.parametrize("n_frames", [1, 2, 3])
@pytest.mark.usefixtures("few_pairs")
def test_few_frames(n_frames, street, backbone, tmp_path):
    result = easi3r.reconstruct(street.frames[:n_frames], backbone)
    check_sound(result, n_frames)
    assert any("frame" in w for w in result.info["warnings"])
    if n_frames != 2:  # one is a case of its own, three stand for few
        assert all(Path(path).exists() for path in result.save(tmp_path).values())


@pytest.mark.parametrize("size", [(112, 192), (321, 181), (64, 64), (640, 48)])
@pytest.mark.usefixtures("few_pairs")
def test_sizes_portrait_odd_square_and_wide(size, backbone):
    clip = synthetic.render("street", 3, *size)
    result = easi3r.reconstruct(clip.frames, backbone)
    check_sound(result, 3)
    assert result.framing.source_size == size
    assert not any(s % 16 for s in result.depth.shape[1:])


def test_options_are_checked():
    bad = [("max_frames", -1), ("max_frames", 2.5), ("sensitivity", 2), ("graph", "spiral"), ("fov", 500)]
    for name, value in bad:
        with pytest.raises(easi3r.InputError, match=rf"{name}.* {re.escape(repr(value))}[; ]"):
            easi3r.Options(**{name: value})
    with pytest.raises(TypeError):
        easi3r.Options(colour="red")


def test_the_command_line_explains_bad_input(tmp_path, capsys):
    bad = tmp_path / "text.mp4"
    bad.write_text("not a video")
    for arguments in ([bad], [tmp_path / "missing.mp4"], [bad, "--max-frames", 0], [bad, "--backbone", "/nonsense"]):
        assert main([*map(str, arguments), "--out", str(tmp_path / "out")]) == 2
        assert capsys.readouterr().err.count("error:") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.usefixtures("few_pairs")
def test_masks_of_the_user_replace_the_estimated_ones(street, backbone, tmp_path):
    height, width = street.frames.shape[1:3]
    drawn = np.zeros((len(street.frames), height, width), np.uint8)
    drawn[:, height // 4 : height // 2, width // 3 : width // 2] = 255
    video.write(tmp_path / "mask.mp4", np.repeat(drawn[:3, ..., None], 3, axis=-1), 5)
    folder = tmp_path / "masks"
    folder.mkdir()
    for k, mask in enumerate(drawn[:3]):
        Image.fromarray(mask).resize((2 * width, 2 * height)).save(folder / f"{k}.png")
    for masks in (tmp_path / "mask.mp4", folder, drawn[:3] > 0):
        result = easi3r.reconstruct(street.frames[:3], backbone, masks=masks)
        overlap = jaccard(result.dynamic, drawn[:3] > 0)
        assert overlap.min() > 0.97 and result.info["masks"] == "given by the user"
    with pytest.raises(InputError, match="frames"):
        easi3r.reconstruct(street.frames, backbone, masks=list(drawn[:2, ..., None].repeat(3, -1)))
    with pytest.raises(InputError, match="proportions"):
        easi3r.reconstruct(street.frames[:2], backbone, masks=list(drawn[:2, :50, :, None].repeat(3, -1)))
    with pytest.raises(InputError, match="one for every frame"):
        easi3r.reconstruct(street.frames[:2], backbone, masks=drawn > 0)


def test_more_frames_of_a_clip_show_as_much_as_few_do():
    """From one of 48 frames to the next so little changes that neighbours tell neither what moves nor the focal."""
    clip = synthetic.render("orbit", 48, 160, 96)
    found = scoring.score(easi3r.reconstruct(clip.frames, "preview", easi3r.Options(max_frames="all")), clip)
    assert found["J"] > 0.8 and found["focal"] < 0.1 and found["ate"] < 0.005


def test_where_little_is_found_to_move_frames_further_apart_tell():
    clip = synthetic.render("orbit", 32, 160, 96)
    assert scoring.score(easi3r.reconstruct(clip.frames, "preview", easi3r.Options(max_frames=0)), clip)["J"] > 0.7
    still = synthetic.render("orbit", 32, 160, 96, movers=False)
    assert easi3r.reconstruct(still.frames, "preview", easi3r.Options(max_frames=0)).dynamic.mean() < 0.001


def test_every_frame_of_a_slow_clip_is_as_good_where_few_are_solved():
    clip = synthetic.render("room", 64, 160, 96)
    result = easi3r.reconstruct(clip.frames, "preview", easi3r.Options(max_frames="all"))
    found = scoring.score(result, clip)
    assert result.info["solved"] == 32 and len(result.frames) == 64
    assert found["J"] > 0.7 and found["focal"] < 0.1 and found["ate"] < 0.01
