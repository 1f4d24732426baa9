"""Masks that the user brings for a clip: which of them belongs to which frame, and what they say.

A mask belongs to a frame by its number or its time. Masks are never spread over the clip: a mask of another frame would
be wrong without anybody noticing. Frames without a mask are left to the estimate.
"""

import math
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from . import mask_values
from .errors import InputError
from .mask_matching import by_count, earlier_result, first_only, nearest, numbers_in, pick
from .sizes import Size
from .sources import Animation, Clip, Stills, alike, check_file, natural, open_source
from .unpack import unpacked
from .video import Video

LARGEST_ARRAY = 4 << 30  # bytes of one array in an .npz, unpacked: 2,000 masks of 1080p; small files can claim any size
MOSTLY = 0.6  # of the picture: masks of four real clips have .02 to .11 in the mean, turned about .89 on
_KEYS = ("masks", "dynamic")  # names of the array in an .npz that has several; the second is ours
# Of a mask: its number, values (H,W), that of white, whether coded with loss, (width, height).
_Mask = tuple[int, np.ndarray, int, bool, Size]


@dataclass(frozen=True)
class OwnMasks:
    """Masks of the user for the T frames used of a clip, at working size."""

    masks: np.ndarray  # (T,H,W) bool, what moves; nothing where not known
    known: np.ndarray  # (T,) bool, frames for which there is a mask
    warnings: tuple  # sentences for the user

    def over(self, estimated: np.ndarray) -> np.ndarray:
        """(T,H,W) bool: these, and `estimated` (T,H,W) bool in frames for which there is none."""
        return np.where(self.known[:, None, None], self.masks, estimated)

    def at(self, frames: np.ndarray | slice) -> "OwnMasks":
        """The same for some of the frames only, (T,) bool."""
        return replace(self, masks=self.masks[frames], known=self.known[frames])

    @property
    def summary(self) -> str:
        """Where the masks come from, in words."""
        if self.known.all():
            return "given by the user"
        return f"given by the user for {self.known.sum()} of {len(self.known)} frames, estimated for the rest"


def read_masks(source: Any, clip: Video) -> OwnMasks:
    """`OwnMasks` of what moves, drawn by the user for a `Video`.

    source: one of
    - image files (a folder, a zip, a list of paths, one path). As many as the clip has frames: in the order of the
      numbers in their names. Fewer: by these numbers, which count from 0 if there is a 0, from 1 if they start at 1,
      else from 0 (from 1 if the last is the number of frames). For photos: by the photo's name, or its number.
      The folder masks of a result, edited: by the frames it was made from.
    - a video with as many frames as the clip: in order; of the same length: by time.
    - an array (N,H,W) or (N,H,W,C), a list of arrays (H,W) or (H,W,C), an .npy, or an .npz with one array or one named
      "masks" or "dynamic"; N: the frames used, or all of the clip. One array (H,W) is the mask of the first frame.
    - `OwnMasks`, returned as they are.
    Moving is what is not 0 in palette images (the index counts, not its colour), labels, 0/1 and black-and-white; what
    is above half in grey levels, JPEGs, videos and probabilities; what is opaque where opacity varies. Any resolution
    of the clip's proportions, or the working size.

    Raises `InputError` if it cannot be read, belongs to no frame used, names a frame twice or beyond the end of the
    clip, has another length, other proportions or values that are no masks.
    """
    if isinstance(source, OwnMasks):
        return source
    if isinstance(source, (list, tuple)) and len(source) == 1 and isinstance(source[0], (str, Path)):
        source = source[0]
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() == ".zip":
        path = check_file(Path(source))
        with unpacked(path) as folder:
            return _read(_Pictures(Stills(sorted(folder.iterdir(), key=natural), path.name)), clip)
    try:
        given = _open(source)
    except InputError as error:
        text = str(error)
        raise InputError(text if "mask" in text else f"Of the masks: {text}") from None
    return _read(given, clip)


def _read(given, clip):
    chosen, warnings = given.match(clip)  # which mask belongs to each frame, -1: none
    if (chosen < 0).all():
        raise InputError(
            f"{given.label} belongs to none of the frames used, which are {_few(clip.positions)} (counted "
            "from 0); give masks for these, or use more frames of the clip."
        )
    masks, known = _cut(given, chosen, clip.framing)
    if not known.all():
        warnings.append(
            f"{given.label} is for {known.sum()} of the {len(known)} frames used; what moves in the others "
            "was estimated."
        )
    if not masks.any():
        warnings.append(f"{given.label} shows nothing that moves in any frame used; what moves must be white.")
    share = masks[known].mean()
    if share > MOSTLY:
        warnings.append(
            f"{given.label} says that {share:.0%} of the picture moves, which leaves little to tell the camera from; "
            "what moves must be white, and not what stands still."
        )
    return OwnMasks(masks, known, tuple(warnings))


def _cut(given, chosen, framing):
    """Masks (T,H,W) bool of what moves at working size, and (T,) bool for which frames there are any."""
    levels, (width, height) = mask_values.Levels(), framing.size
    kinds = np.zeros((2, len(chosen), height, width), bool)  # not 0, above half
    known = np.zeros(len(chosen), bool)
    for index, values, top, lossy, size in given.read(np.unique(chosen[chosen >= 0])):
        source_size = framing.source_size
        if size != framing.size and not alike(size, source_size):
            raise InputError(
                f"{given.label} is {size[0]} x {size[1]} pixels, the clip {source_size[0]} x "
                f"{source_size[1]}; both must have the same proportions."
            )
        frames = chosen == index
        for kind, moving in zip(kinds, levels.cut(values, top, lossy)):
            kind[frames] = _fit(moving, framing)
        known |= frames
    if levels.photo:
        raise InputError(
            f"{given.label} is a picture rather than a mask: most of it is neither black nor white; paint "
            "what moves white and all else black."
        )
    return kinds[int(levels.grey)], known


def _fit(moving, framing):
    """A mask (H,W) bool at working size: cut at half of its area, but what is too thin for that stays as well."""
    if moving.shape[::-1] == framing.size:
        return moving
    times = math.ceil(max(framing.source_size) / max(moving.shape))  # enlarged exactly first, so that there is an area
    area = framing.cut((moving * np.uint8(255)).repeat(times, axis=0).repeat(times, axis=1))
    solid = area > 127
    return solid | ((area > 0) & (cv2.dilate(solid.astype(np.uint8), np.ones((3, 3))) == 0))


def _open(source):
    if isinstance(source, np.ndarray):
        return _Arrays(source)
    if isinstance(source, (list, tuple)) and source and all(isinstance(mask, np.ndarray) for mask in source):
        if len({mask.shape for mask in source}) > 1:
            raise InputError("The arrays of the mask have different shapes; give all of one size.")
        return _Arrays(np.stack(source))
    items = source if isinstance(source, (list, tuple)) else [source]
    other = next((type(item).__name__ for item in items if not isinstance(item, (str, Path))), None)
    if other:
        raise InputError(f"The mask is or has a {other}; give a path, a list of paths, an array, or a list of arrays.")
    if isinstance(source, (str, Path)) and Path(source).suffix.lower() in (".npy", ".npz"):
        return _Arrays(_load_array(check_file(Path(source))))
    opened = open_source(source)
    if isinstance(opened, Animation):
        return _Pages(opened)
    return _Film(opened) if getattr(opened, "paths", None) is None else _Pictures(opened)


def _load_array(path):
    """The array of an .npy or .npz file, without running what may be in it."""
    try:
        if path.suffix.lower() == ".npy":
            return np.lib.format.open_memmap(path, mode="r")
        with zipfile.ZipFile(path) as archive:
            sizes = {entry.filename.removesuffix(".npy"): entry.file_size for entry in archive.infolist()}
        name = next((key for key in _KEYS if key in sizes), None) or (next(iter(sizes)) if len(sizes) == 1 else None)
        if name is not None and sizes[name] <= LARGEST_ARRAY:
            with np.load(path, allow_pickle=False) as arrays:
                return arrays[name]
    except (OSError, ValueError, EOFError, KeyError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error):
        raise InputError(f"'{path.name}' cannot be read as an array of numbers; save it with numpy.save.") from None
    if name is None:
        raise InputError(f"'{path.name}' has the arrays {_few(list(sizes))}; name the one with the masks 'masks'.")
    raise InputError(
        f"The array in '{path.name}' takes {sizes[name] / 2**30:.0f} GiB; at most {LARGEST_ARRAY >> 30} "
        "are read. Save it as uint8, or only for the frames used."
    )


class _Arrays:
    """Masks without names: of all frames used, or of all there are."""

    label = "The mask"

    def __init__(self, masks: np.ndarray) -> None:
        self._single = masks.ndim == 2
        masks = masks[None] if self._single else masks
        if masks.ndim == 4 and masks.shape[1] == 1 != masks.shape[3]:  # as networks have it: (N,1,H,W)
            masks = masks[:, 0]
        if masks.ndim not in (3, 4) or (masks.ndim == 4 and masks.shape[3] > 4) or 0 in masks.shape:
            raise InputError(f"The mask is an array of shape {masks.shape}; give (frames, height, width).")
        self._masks = masks

    def match(self, clip: Video) -> tuple[np.ndarray, list[str]]:
        if self._single:
            return first_only(clip), []
        return by_count(self.label, len(self._masks), clip), []

    def read(self, indices: np.ndarray) -> Iterator[_Mask]:
        values, top = mask_values.of_array(np.asarray(self._masks[indices]))
        for index, mask in zip(indices, values):
            yield index, mask, top, False, mask.shape[::-1]


class _Film:
    """A video of masks: coded with loss, so that black is only nearly 0."""

    def __init__(self, opened: Clip | Animation) -> None:
        self._opened, self.label = opened, f"The mask '{opened.name}'"

    def match(self, clip: Video) -> tuple[np.ndarray, list[str]]:
        seconds = self._opened.seconds - self._opened.seconds[0]
        if len(seconds) == clip.n_source_frames:
            return clip.positions.copy(), []
        length = clip.span[1] - clip.span[0]
        steps = [total / max(1, n - 1) for total, n in ((seconds[-1], len(seconds)), (length, clip.n_source_frames))]
        said = (
            f"{self.label} has {len(seconds)} frames in {seconds[-1]:.2f} seconds, the clip {clip.n_source_frames} "
            f"in {length:.2f}"
        )
        if len(seconds) < 2 or abs(seconds[-1] - length) > 1.5 * max(steps):  # one more or one less of the slower one
            raise InputError(f"{said}; give as many frames as the clip has, or the same length.")
        chosen = nearest(seconds, clip.timestamps - clip.span[0], min(steps) / 2)
        return chosen, [f"{said}; they were matched by time."]

    def read(self, indices: np.ndarray) -> Iterator[_Mask]:
        for index, image, size in self._opened.read(indices):
            yield index, *mask_values.strongest(image), True, size


class _Pages(_Film):
    """The frames or pages of an image file, read exactly."""

    def read(self, indices: np.ndarray) -> Iterator[_Mask]:
        for index in indices:
            values, top, lossy = mask_values.of_picture(self._opened.path, index)
            yield index, values, top, lossy, values.shape[::-1]


class _Pictures:
    """Image files of a mask each."""

    def __init__(self, opened: Stills) -> None:
        self._paths, self.label = opened.paths or (), f"The mask '{opened.name}'"
        if opened.name == "frames":  # a list has no name of its own
            self.label = "The mask"

    def match(self, clip: Video) -> tuple[np.ndarray, list[str]]:
        if ours := earlier_result(self._paths, clip):
            said = f"{self.label} was taken for the masks of an earlier result: its numbers count the frames used."
            return pick(ours, clip), [said]
        stems = [path.stem.lower() for path in self._paths]
        photos = {stem.lower(): k for k, stem in enumerate(clip.stems or ())}
        if len(set(stems)) == len(stems) and set(stems) <= set(photos):
            return pick([photos[stem] for stem in stems], clip), []
        numbers, taken = numbers_in(stems), numbers_in(list(photos))
        if numbers is None:
            return (first_only(clip) if len(stems) == 1 else by_count(self.label, len(stems), clip)), []
        self._check_distinct(numbers)
        if taken and set(numbers) <= set(taken) and len(set(taken)) == clip.n_source_frames:
            return pick([taken.index(number) for number in numbers], clip), []
        order = np.argsort(numbers)
        if len(numbers) == clip.n_source_frames and len(set(np.diff(np.sort(numbers)))) < 2:
            return order[clip.positions], []
        return self._by_number(numbers, clip)

    def _by_number(self, numbers, clip):
        last = clip.n_source_frames
        base = 1 if min(numbers) == 1 or (min(numbers) > 1 and max(numbers) == last) else 0
        places = [number - base for number in numbers]
        beyond = [path.name for path, place in zip(self._paths, places) if place >= last]
        if len(beyond) > 1:  # one is a common slip of tools, more are of another clip
            raise InputError(
                f"{self.label} has '{beyond[-1]}', but the frames of the clip are numbered {base} to "
                f"{last - 1 + base}; name each mask by the number of its frame."
            )
        first = self._paths[int(np.argmin(numbers))].name
        said = [f"The masks were matched by number, '{first}' with frame {min(places)} (counted from 0)."]
        said += [f"The mask '{name}' comes after the last frame of the clip and was left out." for name in beyond]
        return pick(places, clip), said

    def _check_distinct(self, numbers):
        number, times = Counter(numbers).most_common(1)[0]
        if times > 1:
            same = [path.name for path, other in zip(self._paths, numbers) if other == number]
            raise InputError(f"{self.label} has '{same[0]}' and '{same[1]}', both number {number}; leave one out.")

    def read(self, indices: np.ndarray) -> Iterator[_Mask]:
        for index in indices:
            values, top, lossy = mask_values.of_picture(check_file(self._paths[index]))
            yield index, values, top, lossy, values.shape[::-1]


def _few(values):
    shown = ", ".join(map(str, values[:6]))
    return shown + (", ..." if len(values) > 6 else "")
