"""Where frames come from: a video file, an image, a folder or a list of images, an array; all behind one interface."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from . import decode, stills, unpack
from .containers import ALLOWED
from .errors import DamagedError, InputError
from .paths import check_name, check_path, quoted
from .sizes import ReadFrames, Size

MOST_NAMED = 5  # damaged pictures in a warning


def open_source(source: Any) -> "Source":
    """A `Clip` or `Stills` of a path (video, image, folder or zip of images), a list of image paths, an array
    (T, H, W, 3) or (H, W, 3) uint8 RGB, or a list of (H, W, 3) uint8 RGB arrays. Raises `InputError` if it cannot be
    one.
    """
    if isinstance(source, (str, Path)):
        return _open_path(Path(check_name(source)))
    if isinstance(source, np.ndarray) and source.ndim == 3:
        source = source[None]
    if not isinstance(source, (list, tuple)) and not (isinstance(source, np.ndarray) and source.ndim == 4):
        what = f"an array of shape {source.shape}" if isinstance(source, np.ndarray) else f"a {type(source).__name__}"
        raise InputError(f"The source is {what}; give a path, a list of image paths, or (T, H, W, 3) uint8 RGB.")
    if len(source) == 0:
        raise InputError("The source has no frames; give at least one.")
    if len(source) == 1 and isinstance(source[0], (str, Path)):
        only = Path(check_name(source[0]))
        if only.suffix.lower() not in stills.SUFFIXES:
            return _open_path(only)  # a video
    return Stills(source, "frames")


class Clip:
    """A video file of n frames."""

    def __init__(self, path: Path) -> None:
        self.path, self.name, self._index = path, path.name, decode.scan(path)
        self.seconds = self._index.seconds  # (n,) float64 ascending, as the file states them
        self.keys = self._index.keys  # (m,) positions of the frames at which decoding can start, may be empty
        self.interlaced = self._index.interlaced  # whether its frames are woven from two fields, taken at two times
        self.damaged = False  # whether what has been read so far is

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the user about what has been read so far."""
        if self._index.dolby:
            said = (
                f"'{self.name}' is Dolby Vision without any other picture (profile 5), so its colours come out "
                "wrong, green and purple; save it as HLG, HDR10 or SDR."
            )
            return (said,)
        if self._index.timed or not self.damaged:
            return ()
        said = (
            f"'{self.name}' is damaged, and files of its kind do not say when a frame is shown: the times of "
            "frames after the damage may be wrong. Use an undamaged copy if times or masks matter."
        )
        return (said,)

    def read(self, positions: Iterable[int], side: int | None = None) -> ReadFrames:
        """(position, upright RGB (H,W,3) uint8, its (width, height) with square pixels) of the frames at `positions`,
        ascending; frames that cannot be decoded are missing. With `side` the images are reduced to that long side
        (pixels; never enlarged), quickly and with colours only roughly right; (width, height) is that of the full
        picture. Raises `InputError` if none can be decoded."""
        return decode.frames_at(self.path, self._index, positions, side, self._note_damage)

    def _note_damage(self):
        self.damaged = True


class Animation:
    """An image file of n frames or pages: animated WebP, PNG or AVIF, multi-page TIFF."""

    interlaced = False
    damaged = True  # where a frame of it is missing

    def __init__(self, path: Path, seconds: np.ndarray) -> None:
        self.path, self.name, self.seconds, self.keys = path, path.name, seconds, np.arange(0)

    def read(self, positions: Iterable[int], side: int | None = None) -> ReadFrames:
        """As `Clip.read`."""
        return stills.frames(self.path, positions, side)


class Stills:
    """n images, one frame each: paths of files or (H, W, 3) uint8 RGB arrays."""

    damaged = False  # they name themselves what they leave out

    def __init__(self, images: Sequence | np.ndarray, name: str, warnings: Iterable[str] = ()) -> None:
        self.name, self._images, self._warnings = name, images, tuple(warnings)
        self._damaged: dict[int, str] = {}  # position -> name of the file
        self.seconds = np.arange(len(images), dtype=np.float64)
        self.keys = np.arange(len(images))
        files = all(isinstance(image, (str, Path)) for image in images)
        self.paths = tuple(map(Path, images)) if files else None  # their names and exact values tell more than RGB does

    @property
    def warnings(self) -> tuple[str, ...]:
        """Sentences for the user about what has been read so far."""
        if not self._damaged:
            return self._warnings
        names = [quoted(self._damaged[k]) for k in sorted(self._damaged)]
        named = ", ".join(names[:MOST_NAMED]) + (", ..." if len(names) > MOST_NAMED else "")
        said = f"{len(names)} of {len(self._images)} pictures cannot be read and were left out: {named}."
        return (*self._warnings, said)

    def read(self, positions: Iterable[int], side: int | None = None) -> ReadFrames:
        """As `Clip.read`. Raises `InputError` if half of the images or more are damaged, or if one is missing or has
        other proportions than the first.
        """
        first, damaged, read = None, list[InputError](), 0
        for k in positions:
            if isinstance(self._images[k], (str, Path)):
                path = Path(self._images[k])
                try:
                    label, (image, (width, height)) = f"'{path.name}'", stills.load(check_file(path), side)
                except DamagedError as error:
                    damaged.append(error)
                    self._damaged[int(k)] = path.name
                    continue
            else:
                label, image = f"number {k}", check_rgb(self._images[k])
                height, width = image.shape[:2]
                image = stills.shrink(image, side)
            first = first or (width, height)
            if not alike((width, height), first):  # resizing would distort the geometry
                raise InputError(
                    f"Image {label} is {width} x {height} pixels, the first is {first[0]} x {first[1]}; "
                    "all images must have the same proportions."
                )
            read += 1
            yield k, image, (width, height)
        if damaged and len(damaged) >= read:
            raise damaged[0]


class Zipped(Stills):
    """The pictures of a zip; those that are read are unpacked for as long as that takes."""

    def __init__(self, path: Path) -> None:
        self._path, self._names = path, sorted(unpack.pictures(path), key=lambda name: natural(Path(name)))
        super().__init__(self._names, path.name)

    def read(self, positions: Iterable[int], side: int | None = None) -> ReadFrames:
        """As `Clip.read`. Raises `InputError` as `Stills.read` and `unpack.pictures` do."""
        with unpack.unpacked(self._path, {self._names[k] for k in positions}) as folder:
            images = Stills([folder / name for name in self._names], self.name)
            images._damaged = self._damaged
            yield from images.read(positions, side)


Source = Clip | Animation | Stills  # what `open_source` gives


def _open_path(path):
    if not check_path(path):
        return _open_file(check_file(path))
    try:
        files = [f for f in path.iterdir() if f.suffix.lower() in stills.SUFFIXES and not f.name.startswith(".")]
    except OSError as error:
        raise InputError(f"The folder {quoted(path)} cannot be read ({error.strerror}); copy it elsewhere.") from None
    files, warnings = _without_ours(path, files)
    if not files:
        raise InputError(f"The folder {quoted(path.name)} has no images; put in {', '.join(sorted(stills.SUFFIXES))}.")
    return Stills(sorted(files, key=natural), path.name, warnings)


def _open_file(path):
    if path.suffix.lower() == ".zip":
        return Zipped(path)
    if not stills.is_image(path):
        return Clip(path)
    times = stills.frame_times(path)
    return Animation(path, times) if len(times) > 1 else Stills([path], path.name)


def _without_ours(folder, files):
    """`files` but for pictures that a run has written when `folder` was its output too, and a warning if there are."""
    from .export import written_names  # what writes results reads videos; importing it here keeps that direction

    ours = written_names(folder)
    left_out = sorted(f.name for f in files if f.name in ours)
    if not left_out:
        return files, []
    warning = (
        f"The folder '{folder.name}' also holds the results of an earlier run; of these, {', '.join(left_out)} "
        "was not taken for a photo."
    )
    return [f for f in files if f.name not in ours], [warning]


def natural(path: Path) -> list[tuple[int, str]]:
    """Sort key of a path that counts: frame2 comes before frame10."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"([0-9]+)", path.name.lower())]


def alike(size: Size, other: Size) -> bool:
    """Whether two sizes (width, height) have the same proportions, to 2 %."""
    return abs(size[0] * other[1] - size[1] * other[0]) <= 0.02 * size[1] * other[0]


def check_rgb(frame: Any) -> np.ndarray:
    """`frame`, if it is a (H, W, 3) uint8 array; else `InputError`."""
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3:
        what = f"{frame.dtype} of shape {frame.shape}" if isinstance(frame, np.ndarray) else f"a {type(frame).__name__}"
        raise InputError(f"A frame is {what}; frames must be uint8 RGB arrays of shape (H, W, 3).")
    return frame


def check_file(path: Path) -> Path:
    """`path`, if it is a file that can be read, with something in it; else `InputError`."""
    if check_path(path):
        raise InputError(f"{quoted(path)} is a folder; give a file.")
    if path.stat().st_size == 0:
        raise DamagedError(f"{quoted(path.name)} is empty (0 bytes); the upload or the recording broke off. {ALLOWED}")
    return path
