"""Masks of the user: the mask of frame n belongs to frame n, whatever kind of file it comes in."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
from clips import HEIGHT, WIDTH, encode, number_of, numbered, set_display_matrix
from PIL import Image

import easi3r
from easi3r import InputError, video
from easi3r.own_masks import read_masks

FIELD = Path(__file__).parents[2] / "shared" / "field"
field = pytest.mark.skipif(not FIELD.is_dir(), reason="the shared inputs are not here")
N = 40  # frames of the clips made here


def drawn(number, height=HEIGHT, width=WIDTH):
    """(height, width) bool: a square at one of 12 x 8 places, that of frame `number`."""
    rows, columns = np.arange(height) * 8 // height, np.arange(width) * 12 // width
    return (rows[:, None] == number // 12) & (columns == number % 12)


def all_drawn(numbers):
    return np.array([drawn(number) for number in numbers])


def save(folder, masks, name="{:05d}.png", first=0):
    """PNGs, or what `name` says, of masks (N,H,W): an index (bool: 0 and 255) or a Pillow image each."""
    folder.mkdir(exist_ok=True)
    for k, mask in enumerate(masks):
        mask = mask if isinstance(mask, Image.Image) else Image.fromarray(mask.astype(np.uint8) * 255)
        mask.save(folder / name.format(k + first))
    return folder


def film(path, masks, **settings):
    return encode(path, [np.repeat(mask[..., None] * np.uint8(255), 3, axis=2) for mask in masks], **settings)


def unpack(name, folder):
    with zipfile.ZipFile(FIELD / name) as archive:
        archive.extractall(folder)
    return folder


def check(own, clip, known=None):
    """Every frame has the mask of its own number, where `known` (positions in the source) says that there is one."""
    known = set(clip.positions if known is None else known)
    assert own.masks.dtype == own.known.dtype == bool
    assert own.known.tolist() == [position in known for position in clip.positions]
    for position, mask in zip(clip.positions, own.masks):
        expected = drawn(position, *mask.shape) if position in known else np.zeros_like(mask)
        union = (mask | expected).sum()
        assert union == 0 or (mask & expected).sum() / union > 0.9, position
    assert any("estimated" in said for said in own.warnings) == (not own.known.all())


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    """A clip of a variable frame rate."""
    steps = np.random.default_rng(1).choice([20, 33, 90], N)
    frames = [numbered(k) for k in range(N)]
    return encode(tmp_path_factory.mktemp("clip") / "vfr.mp4", frames, pts=np.cumsum(steps).tolist(), fps=30)


@pytest.fixture(scope="module")
def clip(path):
    clip = video.read(path, 9, 512, 16)
    assert not np.array_equal(clip.positions, np.linspace(0, N - 1, 9).round())  # "evenly" would be wrong
    return clip


# ---- which frame

NAMES = [("{:05d}.png", 0), ("mask_{}.png", 1), ("frame{}_v2.png", 0), ("f_{:04d}_of_40.bmp", 1), ("{:d}.tif", 100)]


@pytest.mark.parametrize("name, first", NAMES)
def test_a_full_set_is_taken_in_the_order_of_its_numbers(clip, tmp_path, name, first):
    folder = save(tmp_path / "masks", all_drawn(range(N)), name, first)
    (folder / "README.txt").write_text("painted by hand")
    (folder / ".DS_Store").write_bytes(b"x")
    (folder / "._00001.png").write_bytes(b"x")
    check(read_masks(folder, clip), clip)
    files = sorted((f for f in folder.glob("[!.]*.*") if f.suffix != ".txt"), key=lambda f: f.name)
    check(read_masks(files, clip), clip)  # 1, 10, 11, ..., 2: as a page hands them over


PARTS = [("{:05d}.png", 0, 20, 0), ("{:05d}.png", 20, 30, 0), ("m{}.png", 0, 20, 1), ("frame_{:06d}.png", 30, 40, 1)]


@pytest.mark.parametrize("name, start, end, base", PARTS)
def test_masks_for_a_part_of_the_clip_are_never_stretched(clip, tmp_path, name, start, end, base):
    own = read_masks(save(tmp_path / "masks", all_drawn(range(start, end)), name, start + base), clip)
    check(own, clip, range(start, end))
    assert f"frame {start} (counted from 0)" in " ".join(own.warnings)


def test_masks_of_just_the_frames_used_and_with_gaps(clip, tmp_path):
    folder = tmp_path / "masks"
    for position in clip.positions:
        save(folder, [drawn(position)], first=position)
    check(read_masks(folder, clip), clip)
    (folder / f"{clip.positions[3]:05d}.png").unlink()
    check(read_masks(folder, clip), clip, np.delete(clip.positions, 3))


def test_the_last_of_two_numbers_that_count_is_the_frame(clip, tmp_path):
    folder = tmp_path / "masks"
    for k in range(N):
        save(folder, [drawn(k)], f"cam2_take{N - k}_{{:03d}}.png", k)
    check(read_masks(folder, clip), clip)


def test_one_picture_is_the_mask_of_its_frame(clip, tmp_path):
    position = clip.positions[4]
    save(tmp_path, [drawn(position)], "mask_{}.png", position)
    check(read_masks(tmp_path / f"mask_{position}.png", clip), clip, [position])
    save(tmp_path, [drawn(0)], "person.png")
    check(read_masks([tmp_path / "person.png"], clip), clip, [0])
    check(read_masks(drawn(0), clip), clip, [0])


def test_arrays_are_for_the_frames_used_or_for_all(clip, tmp_path):
    for masks in (all_drawn(clip.positions), all_drawn(range(N))):
        np.save(tmp_path / "masks.npy", masks)
        np.savez(tmp_path / "one.npz", whatever=masks)
        np.savez_compressed(tmp_path / "more.npz", dynamic=masks, depth=np.zeros(3))
        colour = np.repeat(masks[..., None] * np.uint8(255), 3, axis=3)
        for source in (masks, list(masks), colour, list(colour), masks[:, None], masks[..., None]):
            check(read_masks(source, clip), clip)
        for name in ("masks.npy", "one.npz", "more.npz"):
            check(read_masks(tmp_path / name, clip), clip)
    large = np.repeat(np.repeat(all_drawn(range(N)), 2, axis=1), 2, axis=2)
    check(read_masks(large, clip), clip)


def test_a_video_of_as_many_frames_is_taken_by_number(clip, tmp_path):
    for name, codec in (("mask.mp4", "libx264"), ("mask.webm", "libvpx-vp9"), ("mask.gif", "gif")):
        pix_fmt = "rgb8" if codec == "gif" else None
        masks = film(tmp_path / name, all_drawn(range(N)), codec=codec, fps=25, pix_fmt=pix_fmt)
        check(read_masks(masks, clip), clip)  # at 25 per second, as tools write it: its clock says nothing
        check(read_masks([masks], clip), clip)


def test_a_video_of_the_same_length_is_taken_by_time(tmp_path):
    clip = video.read(encode(tmp_path / "clip.mp4", [numbered(k) for k in range(N)], fps=20), 14, 512, 16)
    for n in (N + 1, N - 1):
        own = read_masks(film(tmp_path / f"{n}.mp4", all_drawn(range(n)), fps=20), clip)
        check(own, clip, range(n))
        assert "by time" in own.warnings[0]
    half = film(tmp_path / "half.mp4", all_drawn(range(0, N, 2)), fps=10)
    check(read_masks(half, clip), clip, range(0, N, 2))
    with pytest.raises(InputError, match="as many frames as the clip has"):
        read_masks(film(tmp_path / "part.mp4", all_drawn(range(20)), fps=20), clip)


def test_an_editor_s_constant_rate_copy_is_taken_by_time(path, clip, tmp_path):
    seconds = video.read(path, N, 512, 16).timestamps
    shown = [np.abs(seconds - seconds[0] - t).argmin() for t in np.arange(0, np.ptp(seconds) + 0.005, 0.01)]
    check(read_masks(film(tmp_path / "constant.mp4", all_drawn(shown), fps=100), clip), clip)


def test_masks_of_photos_go_by_their_names(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    names = ["IMG_0231", "IMG_0232", "IMG_0235", "beach"]
    for k, name in enumerate(names):
        Image.fromarray(numbered(k)).save(photos / f"{name}.jpg")
    clip = video.read(photos, 9, 512, 16)
    assert [number_of(frame) for frame in clip.frames] == [1, 2, 3, 0] or len(clip.frames) == 4
    order = [names.index(stem) for stem in clip.stems]
    masks = tmp_path / "masks"
    for k, name in enumerate(names[1:], 1):
        save(masks, [drawn(order.index(k))], f"{name}.png")
    check(read_masks(masks, clip), clip, [order.index(k) for k in (1, 2, 3)])
    (photos / "beach.jpg").unlink()
    clip = video.read(photos, 9, 512, 16)
    other = save(tmp_path / "other", [drawn(2)], "IMG_0235_mask.png")
    check(read_masks(other, clip), clip, [2])


@field
@pytest.mark.parametrize("masks", ["own-mask-60-pngs", "own-mask-davis-palette-pngs", "own-mask-0-1-pngs"])
def test_field_masks_of_a_clip_of_variable_rate(tmp_path, masks):
    check_field("own-mask-vfr-clip.mp4", unpack(f"{masks}.zip", tmp_path), "{:05d}.png", 24)


@field
def test_field_masks_of_a_long_clip(tmp_path):
    folder = unpack("own-mask-long-clip-1000-pngs.zip", tmp_path)
    check_field("own-mask-long-clip-1000-frames.mp4", folder, "{:05d}.png", 7)


@field
def test_field_masks_named_without_zeros(tmp_path):
    folder = unpack("own-mask-unpadded-names.zip", tmp_path)
    check_field("own-mask-unpadded-names-clip.mp4", folder, "mask_{}.png", 5, first=1)


def check_field(name, folder, pattern, count, first=0):
    clip = video.read(FIELD / name, count, 512, 16)
    own = read_masks(folder, clip)
    assert own.known.all() and own.masks.any(axis=(1, 2)).all() and not own.warnings
    for frame, mask in zip(clip.frames, own.masks):
        painted = np.asarray(Image.open(folder / pattern.format(number_of(frame) + first))) > 0
        painted = np.asarray(grey(painted * np.uint8(255)).resize(mask.shape[::-1], Image.BOX)) > 127
        assert np.array_equal(mask, painted)


def test_masks_of_a_result_without_its_cameras_go_by_their_size(tmp_path):
    path = encode(tmp_path / "clip.mp4", [numbered(k, 2 * HEIGHT, 2 * WIDTH) for k in range(N)])
    clip = video.read(path, 9, WIDTH, 16)
    folder = save(tmp_path / "edited", all_drawn(clip.positions))
    own = read_masks(folder, clip)
    check(own, clip)
    assert "earlier result" in own.warnings[0]
    check(read_masks(sorted(folder.iterdir())[::-1], clip), clip)
    large = np.repeat(np.repeat(all_drawn(range(9)), 2, axis=1), 2, axis=2)  # of the clip's size: its first frames
    check(read_masks(save(tmp_path / "first", large), clip), clip, range(9))


# ---- what they say


def palette(index, colours):
    image = Image.fromarray(index.astype(np.uint8), "P")
    image.putpalette(colours)
    return image


def grey(values, mode="L"):
    return Image.fromarray(values).convert(mode)


def coloured(mask, still, moving, mode):
    return Image.fromarray(np.where(mask[..., None], np.uint8(moving), np.uint8(still)), mode)


def noisy(mask, seed=0):
    """Grey levels as left by lossy coding."""
    noise = np.random.default_rng(seed).integers(0, 30, mask.shape)
    return np.where(mask, 255 - noise, noise).astype(np.uint8)


PICTURES = {
    "0 and 1": lambda m: grey(m.astype(np.uint8)),
    "0 and 255": lambda m: grey(m * np.uint8(255)),
    "labels 0, 3 and 255": lambda m: grey((m * 3 + (m & (np.arange(WIDTH) % 3 == 0)) * 252).astype(np.uint8)),
    "1 bit": lambda m: grey(m * np.uint8(255), "1"),
    "DAVIS's palette": lambda m: palette(m * 2, [0, 0, 0, 128, 0, 0, 0, 128, 0]),
    "black and white, white first": lambda m: palette(~m, [255, 255, 255, 0, 0, 0]),
    "white for index 0": lambda m: palette(m, [255, 255, 255, 9, 9, 9]),
    "black for all": lambda m: palette(m, [0, 0, 0] * 2),
    "16 bit, 0 and 1": lambda m: Image.fromarray(m.astype(np.uint16)),
    "16 bit, white": lambda m: Image.fromarray(m * np.uint16(65535)),
    "dark colours": lambda m: coloured(m, (0, 0, 0), (0, 0, 64), "RGB"),
    "opacity only, black": lambda m: coloured(m, (0, 0, 0, 0), (0, 0, 0, 255), "RGBA"),
    "opacity only, white": lambda m: coloured(m, (255, 255, 255, 0), (255, 255, 255, 255), "RGBA"),
    "opacity says nothing": lambda m: coloured(m, (0, 0, 0, 255), (255, 255, 255, 255), "RGBA"),
    "grey with opacity": lambda m: coloured(m, (0, 0, 0, 0), (0, 0, 0, 200), "RGBA").convert("LA"),
    "grey levels of a decoded video": lambda m: grey(noisy(m)),
    "RGB levels of a decoded video": lambda m: grey(noisy(m), "RGB"),
}
FILES = {
    "TIFF of floats": ("{:03d}.tif", lambda m: Image.fromarray(m.astype(np.float32))),
    "JPEG": ("{:03d}.jpg", lambda m: grey(m * np.uint8(255))),
    "JPEG in colour": ("{:03d}.jpg", lambda m: grey(m * np.uint8(255), "RGB")),
    "WebP with loss": ("{:03d}.webp", lambda m: grey(m * np.uint8(255), "RGB")),
    "TIFF of 0 and 1": ("{:03d}.tif", lambda m: grey(m.astype(np.uint8))),
    "BMP of 0 and 1": ("{:03d}.bmp", lambda m: grey(m.astype(np.uint8))),
    "PGM of 0 and 1": ("{:03d}.pgm", lambda m: grey(m.astype(np.uint8))),
    **{kind: ("{:03d}.png", draw) for kind, draw in PICTURES.items()},
}


@pytest.mark.filterwarnings("ignore:'mode' parameter")
@pytest.mark.parametrize("kind", FILES)
def test_every_kind_of_picture_says_what_moves(clip, tmp_path, kind):
    name, draw = FILES[kind]
    save(tmp_path / "masks", [draw(mask) for mask in all_drawn(range(N))], name)
    check(read_masks(tmp_path / "masks", clip), clip)


@pytest.mark.parametrize("name", ["masks.tif", "masks.png", "masks.webp", "masks.avif"])
def test_animations_and_pages_are_read_exactly(clip, tmp_path, name):
    white = 255 if name.endswith("avif") else 1
    first, *rest = [grey(mask * np.uint8(white), "RGB") for mask in all_drawn(range(N))]
    exact = {"lossless": True} if name.endswith("webp") else {}
    first.save(tmp_path / name, save_all=True, append_images=rest, duration=100, **exact)
    check(read_masks(tmp_path / name, clip), clip)


def test_lossless_webp_of_small_labels(clip, tmp_path):
    folder = tmp_path / "masks"
    folder.mkdir()
    for k, mask in enumerate(all_drawn(range(N))):
        grey(mask.astype(np.uint8), "RGB").save(folder / f"{k}.webp", lossless=True)
    check(read_masks(folder, clip), clip)


ARRAYS = {
    "bool": lambda m: m,
    "uint8 0 and 1": lambda m: m.astype(np.uint8),
    "uint8 0 and 255": lambda m: m * np.uint8(255),
    "int64 labels": lambda m: m * np.int64(7),
    "uint16 labels": lambda m: m * np.uint16(1001),
    "float 0 and 1": lambda m: m.astype(np.float64),
    "float 0 and 255": lambda m: m * 255.0,
    "probabilities": lambda m: np.where(m, 0.7, 0.4).astype(np.float16),
    "logits": lambda m: np.where(m, 0.5, -8.0).astype(np.float32),
    "decoded video": lambda m: np.array([noisy(mask, k) for k, mask in enumerate(m)]),
    "RGBA": lambda m: np.stack([np.zeros_like(m)] * 3 + [m], axis=-1) * np.uint8(255),
}


@pytest.mark.parametrize("kind", ARRAYS)
def test_every_kind_of_array_says_what_moves(clip, kind):
    check(read_masks(ARRAYS[kind](all_drawn(clip.positions)), clip), clip)
    check(read_masks(ARRAYS[kind](all_drawn(range(N))), clip), clip)


def test_soft_edges_are_cut_at_half(clip, tmp_path):
    for times, kind in ((4, Image.BICUBIC), (2, Image.BILINEAR)):
        small = np.zeros((N, HEIGHT // times, WIDTH // times), np.uint8)
        small[:, 2:-2, 2:-4] = 255
        soft = [grey(mask).resize((WIDTH, HEIGHT), kind) for mask in small]
        own = read_masks(save(tmp_path / "masks", soft), clip)
        for position, mask in zip(clip.positions, own.masks):
            assert np.array_equal(mask, np.asarray(soft[position]) > 127)


def test_colours_are_labels_however_dark(clip, tmp_path):
    colours = np.uint8([(255, 40, 0), (0, 0, 90), (60, 0, 0)])[np.arange(WIDTH) % 3]
    folder = save(tmp_path / "masks", [Image.fromarray(mask[..., None] * colours) for mask in all_drawn(range(N))])
    check(read_masks(folder, clip), clip)


@pytest.mark.parametrize("scale", [0.25, 0.5, 3, 7.5])
def test_any_resolution_fits_and_thin_things_stay(scale):
    clip = video.read(np.zeros((1, 96, 144, 3), np.uint8), 1, 512, 16)
    height, width = round(96 * scale), round(144 * scale)
    block = np.zeros((1, height, width), bool)
    block[:, height // 4 : height // 2, width // 3 : width // 2] = True
    assert abs(read_masks(block, clip).masks.mean() - block.mean()) < 0.1 * block.mean()
    thread = np.zeros((1, height, width), bool)
    thread[:, :, width // 3] = True  # one pixel wide
    assert read_masks(thread, clip).masks[0].any(axis=1).all()


def test_masks_of_an_upright_phone_clip(tmp_path):
    path = encode(tmp_path / "phone.mp4", [numbered(k).transpose(1, 0, 2) for k in range(12)])
    clip = video.read(set_display_matrix(path, 0, 1, -1, 0), 5, 512, 16)
    assert clip.frames.shape[2] > clip.frames.shape[1]  # stored upright, shown on its side
    check(read_masks(save(tmp_path / "masks", all_drawn(range(12))), clip), clip)


def test_an_empty_mask_is_said(clip, tmp_path):
    folder = save(tmp_path / "masks", np.zeros((N, HEIGHT, WIDTH), bool))
    for source in (folder, np.zeros((N, HEIGHT, WIDTH))):
        own = read_masks(source, clip)
        assert own.known.all() and not own.masks.any() and "nothing that moves" in own.warnings[0]


def test_masks_that_are_turned_about_are_said(clip, tmp_path):
    own = read_masks(save(tmp_path / "turned", ~all_drawn(range(N))), clip)
    assert "99% of the picture moves" in " ".join(own.warnings)


# ---- what is refused


def test_what_is_no_mask_is_said_of_the_masks(clip, tmp_path):
    (tmp_path / "README.md").write_text("no mask")
    with pytest.raises(InputError, match="Of the masks: 'README.md' cannot be read"):
        read_masks(tmp_path / "README.md", clip)


def test_what_belongs_to_no_frame_or_to_two_is_refused(clip, tmp_path):
    with pytest.raises(InputError, match="numbered 0 to 39"):
        read_masks(save(tmp_path / "beyond", all_drawn(range(60))), clip)
    unused = min(set(range(2, N)) - set(clip.positions))
    with pytest.raises(InputError, match="none of the frames used"):
        read_masks(save(tmp_path / "unused", [drawn(0)], first=unused), clip)
    twice = save(tmp_path / "twice", all_drawn(range(20)))
    save(twice, [drawn(3)], "{}.png", 3)
    with pytest.raises(InputError, match="both number 3; leave one out"):
        read_masks(twice, clip)
    with pytest.raises(InputError, match="one for every frame"):
        read_masks([tmp_path / "beyond" / "00000.png", save(tmp_path, [drawn(1)], "x.png") / "x.png"], clip)
    one_more = read_masks(save(tmp_path / "more", all_drawn(range(N + 1))), clip)
    check(one_more, clip)
    assert "00040.png" in " ".join(one_more.warnings)


WRONG = [
    (np.zeros((5, HEIGHT, WIDTH)), "one for every frame"),
    (np.zeros((N, HEIGHT, 2 * WIDTH)), "proportions"),
    (np.full((N, HEIGHT, WIDTH), np.nan), "NaN"),
    (np.full((N, HEIGHT, WIDTH), -1), "from -1 to -1"),
    (np.full((N, HEIGHT, WIDTH), "a"), "array of"),
    (np.full((N, HEIGHT, WIDTH), None), "array of"),
    (np.zeros((N, HEIGHT, WIDTH), complex), "array of"),
    (np.zeros((N, 0, WIDTH)), "shape"),
    (np.zeros(7), "shape"),
    (np.zeros((2, N, 3, HEIGHT, WIDTH)), "shape"),
    ([np.zeros((HEIGHT, WIDTH)), np.zeros((HEIGHT, 8))], "different shapes"),
    ([], "no frames"),
    ([None] * 9, "has a NoneType"),
    ({0: np.zeros((HEIGHT, WIDTH))}, "dict"),
    ([np.zeros((HEIGHT, WIDTH)), "a.png"], "has a ndarray|has a str"),
]


@pytest.mark.parametrize("source, text", WRONG)
def test_what_is_no_mask_is_refused_in_one_sentence(clip, source, text):
    with pytest.raises(InputError, match=text):
        read_masks(source, clip)


def test_files_that_are_no_masks_are_refused_in_one_sentence(clip, tmp_path):
    np.savez(tmp_path / "whole.npz", masks=np.zeros((N, HEIGHT, WIDTH)))
    whole = (tmp_path / "whole.npz").read_bytes()
    contents = {"cut.npz": whole[:-100], "not.npz": b"PK", "zip.npy": whole, "empty.npy": b"", "not.npy": b"x" * 99}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
    np.save(tmp_path / "pickled.npy", np.array([{}] * N), allow_pickle=True)
    np.savez(tmp_path / "two.npz", a=np.zeros(3), b=np.zeros(3))
    damaged = save(tmp_path / "damaged", all_drawn(range(N)))
    (damaged / "00000.png").write_bytes((damaged / "00001.png").read_bytes()[:60])
    encode(tmp_path / "clip.mp4", [numbered(k) for k in range(N)])
    for name in (*contents, "clip.mp4", "pickled.npy", "two.npz", "damaged", "missing.npy"):
        with pytest.raises(InputError):
            read_masks(tmp_path / name, clip)


# ---- in a run


@pytest.mark.usefixtures("few_pairs")
def test_reconstruct_takes_the_mask_of_every_frame(path, tmp_path):
    backbone, options = easi3r.load_backbone("preview"), easi3r.Options(max_frames=6)
    folder = save(tmp_path / "masks", all_drawn(range(N)))
    result = easi3r.reconstruct(path, backbone, options, masks=folder)
    for number, mask in zip(result.info["frame_numbers"], result.dynamic):
        assert np.array_equal(mask, drawn(number))
    assert result.info["masks"] == "given by the user"
    again = easi3r.reconstruct(path, backbone, options, masks=result.dynamic)
    assert np.array_equal(again.dynamic, result.dynamic)
    result.save(tmp_path / "out", files=["masks", "cameras.json"])
    more = video.read(path, 20, 512, 16)  # other frames than the result has
    check(read_masks(tmp_path / "out" / "masks", more), more, set(result.info["frame_numbers"]))

    estimated = easi3r.reconstruct(path, backbone, options)
    for k in range(20, N):
        (folder / f"{k:05d}.png").unlink()
    part = easi3r.reconstruct(path, backbone, options, masks=folder)
    given = np.array(part.info["frame_numbers"]) < 20
    assert np.array_equal(part.dynamic[given], result.dynamic[given]) and 0 < given.sum() < 6
    changed = part.dynamic[~given] != estimated.dynamic[~given]  # what is known of the others helps
    assert changed.mean() < 0.1
    assert part.info["masks"] == f"given by the user for {given.sum()} of 6 frames, estimated for the rest"
    assert any("was estimated" in said for said in part.info["warnings"])
