"""A `Reconstruction` as one file of plain arrays, and back."""

import json
import math
import os
import zipfile
import zlib
from dataclasses import asdict, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..camera import Framing
from ..errors import InputError, shown
from ..large import give_back, zeros
from ..paths import check_name, quoted
from ..reconstruction import Reconstruction
from ..sources import open_source
from .scene import Scene

ARCHIVE = "arrays.npz"
# whatever reading a file that is none of ours, or half of one, may raise
_UNREADABLE = (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, TypeError, AttributeError, RuntimeError)
_LEVELS = 50  # steps of log(1 + confidence) in a small archive
_SAME_SURFACE = 0.1  # relative difference of depth between neighbours
_BLOCK = 2**24  # bytes that are read or written at a time
_FORMAT = 1  # raised when a file of the old layout can no longer be read
_ARRAYS = [field.name for field in fields(Reconstruction) if field.name not in ("evidence", "framing", "info")]


def write_arrays(scene: Scene, path: Path) -> None:
    """What `write_archive` writes."""
    write_archive(scene.result, path)


def write_archive(result: Reconstruction, path: str | Path) -> None:
    """NPZ file with every array of `result` under its field's name, `evidence/NAME` per evidence map, and the JSON text
    `meta` with framing and info. Plain arrays only; numpy.load reads it without pickle."""
    meta = {"format": _FORMAT, "framing": asdict(result.framing), "info": plain(result.info)}
    arrays = {name: getattr(result, name) for name in _ARRAYS}
    arrays |= {f"evidence/{name}": array for name, array in result.evidence.items()}
    arrays["meta"] = np.array(json.dumps(meta))
    # as numpy.savez_compressed, but at the fastest level: six times faster for a few per cent of size
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file:
        for name, array in arrays.items():
            with file.open(f"{name}.npy", "w", force_zip64=True) as entry:
                _write(entry, np.asarray(array))


def write_small(result: Reconstruction, path: str | Path) -> None:
    """As `write_archive`, for examples that come with their clip: without the frames, depth (half precision) and
    confidence (8 bits) of every second pixel, motion and evidence on the grid of the tokens (8 bits). Read by
    `load_small`.
    """
    grid = next((array.shape[1:] for array in result.evidence.values()), result.motion.shape[1:])
    confidence = np.log1p(np.maximum(result.confidence[:, ::2, ::2], 0)) * _LEVELS
    small = replace(
        result,
        frames=result.frames[:, :0],
        depth=result.depth[:, ::2, ::2].astype(np.float16),
        confidence=np.round(confidence).clip(0, 255).astype(np.uint8),
        motion=_in_bytes(_resized(result.motion, grid, cv2.INTER_AREA)),
        evidence={name: _in_bytes(array, name) for name, array in result.evidence.items()},
    )
    write_archive(small, path)


def load_small(path: str | Path, clip: Any) -> Reconstruction:
    """Read what `write_small` wrote; clip: the video it was made from. Raises `InputError` if it lacks frames of the
    result.
    """
    small = _stored(Path(path))
    opened = open_source(clip)
    numbers = [number for number in small.info["frame_numbers"] if number < len(opened.seconds)]
    frames = [small.framing.cut(image) for _, image, _ in opened.read(numbers)]
    if len(frames) != len(small.timestamps):
        raise InputError(f"'{opened.name}' lacks frames that {quoted(path)} shows; give the clip it was made from.")
    size = small.framing.size[::-1]
    levels = _doubled(small.confidence, size).astype(np.float32)
    return replace(
        small,
        frames=np.stack(frames),
        depth=_smooth_within_surfaces(small.depth.astype(np.float32), size),
        confidence=np.expm1(levels / _LEVELS),
        motion=_resized(small.motion.astype(np.float32) / 255, size, cv2.INTER_LINEAR),
        evidence={name: array.astype(np.float32) / _unit(name) for name, array in small.evidence.items()},
    )


def _unit(name):
    return 1 if name == "clusters" else 255  # clusters are numbers


def _in_bytes(array, name=""):
    return np.round(array * _unit(name)).clip(0, 255).astype(np.uint8)


def _resized(maps, size, how):
    return np.stack([cv2.resize(np.ascontiguousarray(m), size[::-1], interpolation=how) for m in maps])


def _doubled(maps, size):
    """(T,H,W) of every second pixel: each is its neighbours' value too."""
    return maps.repeat(2, axis=1).repeat(2, axis=2)[:, : size[0], : size[1]]


def _smooth_within_surfaces(depth, size):
    """Depth (T,H,W) from every second pixel: linear, but not across the edge of something nearer."""
    nearest = _doubled(depth, size)
    rows, columns = (np.arange(n, dtype=np.float32) / 2 for n in size)
    where = np.meshgrid(columns, rows)
    linear = np.stack([cv2.remap(d, *where, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for d in depth])
    return np.where(np.abs(linear - nearest) < _SAME_SURFACE * nearest, linear, nearest)


def is_archive(path: str | Path) -> bool:
    """Whether there is a file at `path` that `write_archive` could have written, by the names of what is in it."""
    try:
        with zipfile.ZipFile(path) as file:
            return {"meta.npy", *(f"{name}.npy" for name in _ARRAYS)} <= set(file.namelist())
    except (OSError, *_UNREADABLE):
        return False


def load_reconstruction(path: str | Path) -> Reconstruction:
    """Read back what `Reconstruction.save` wrote: a folder, or the arrays.npz in it.

    Arrays come back exactly, dtypes too; `info` as JSON has it (tuples as lists). Raises `InputError` if there is no
    such file, if it is not one of these archives, or if its arrays do not belong together.
    """
    path = Path(check_name(path))
    result = _stored(path / ARCHIVE if os.path.isdir(path) else path)
    problem = _problem(result)
    if problem:
        raise InputError(f"{quoted(path)} cannot be opened as a reconstruction: {problem}.")
    return result


def _stored(path):
    """What the archive at `path` holds, as it is. Raises `InputError` if it is none of ours."""
    if not os.path.isfile(path):  # unlike pathlib's, these take any name
        raise InputError(
            f"There is no reconstruction at {quoted(path)}; give a folder that a run has written, or its {ARCHIVE}."
        )
    try:
        with zipfile.ZipFile(path) as file:
            arrays = {name.removesuffix(".npy"): _read(file, name) for name in file.namelist()}
        meta = json.loads(str(arrays.pop("meta")))
        known = {name: arrays.pop(name) for name in _ARRAYS}
        framing = Framing(**{name: tuple(value) for name, value in meta["framing"].items()})
        info, written = dict(meta["info"]), meta["format"]
    except _UNREADABLE as error:
        raise InputError(
            f"{path} is not a reconstruction of this program or is damaged; run the clip again, "
            f"or give a folder that a run has written."
        ) from error
    if written != _FORMAT:
        raise InputError(f"{path} has format {written}, this program reads format {_FORMAT}; run the clip again.")
    evidence = {name.removeprefix("evidence/"): array for name, array in arrays.items()}
    return Reconstruction(**known, evidence=evidence, framing=framing, info=info)


def _problem(result):
    """What keeps arrays from being a reconstruction, in words; "" if nothing does."""
    if not result.frames.size and result.depth.size:
        return "it is a small preview without pictures; run the clip again, or give a folder that a run has written"
    frames, again = len(result.frames) if result.frames.ndim else 0, "; run the clip again"
    picture = (frames, *result.framing.size[::-1])
    wanted = {
        "timestamps": ((frames,), "f"),
        "frames": ((*picture, 3), "u"),
        "cam2world": ((frames, 4, 4), "f"),
        "intrinsics": ((frames, 3, 3), "f"),
        "dynamic": (picture, "b"),
        **dict.fromkeys(("depth", "confidence", "motion"), (picture, "f")),
    }
    for name, (shape, kind) in wanted.items():
        array = getattr(result, name)
        if array.shape != shape or array.dtype.kind != kind:
            return f"its array {name}, {array.dtype} of shape {array.shape}, does not fit the others{again}"
    for name, array in result.evidence.items():
        if array.ndim != 3 or len(array) != frames:
            return f"its evidence {shown(name)} of shape {array.shape} does not fit the others{again}"
    for name in ("timestamps", "cam2world", "intrinsics"):
        if not np.isfinite(getattr(result, name)).all():
            return f"its {name} are not all finite numbers{again}"
    if not any((np.isfinite(depth) & (depth > 0)).any() for depth in result.depth):  # even a black clip has some
        return f"its depth is nowhere a positive number{again}"
    return ""


def write_report(scene: Scene, path: Path) -> None:
    """JSON file with the result's `info`: system, options, seconds per step, versions, warnings."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(plain(scene.result.info), file, indent=1, allow_nan=False, ensure_ascii=False)


def plain(value: Any) -> Any:
    """`value` in terms of JSON: numpy, tuples, paths and dataclasses converted, NaN and infinity to None."""
    if is_dataclass(value) and not isinstance(value, type):
        value = asdict(value)
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float):
        return value if np.isfinite(value) else None
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _read(file, name):
    """An array of the archive, a block of rows at a time; a large one lies on disk, see `zeros`."""
    with file.open(name) as entry:
        np.lib.format.read_magic(entry)
        shape, columns, dtype = np.lib.format.read_array_header_1_0(entry)
        if dtype.hasobject or math.prod(shape) * dtype.itemsize > file.getinfo(name).file_size:
            raise ValueError("not written by this program")
        array = zeros(shape[::-1] if columns else shape, dtype)
        for rows in _blocks(array):
            if rows.size:
                rows[...] = np.frombuffer(entry.read(rows.nbytes), dtype).reshape(rows.shape)
        return array.T if columns else array


def _write(entry, array):
    """As np.lib.format.write_array, which would keep all of a mapped file in memory."""
    about = {"descr": np.lib.format.dtype_to_descr(array.dtype), "fortran_order": False, "shape": array.shape}
    np.lib.format.write_array_header_1_0(entry, about)
    for rows in _blocks(array):
        entry.write(np.ascontiguousarray(rows))
        give_back([array])


def _blocks(array):
    """Views of an array, some rows each, from the first to the last."""
    rows = array.reshape(1) if not array.ndim else array
    count = max(1, _BLOCK // max(1, rows[:1].nbytes))
    return (rows[first : first + count] for first in range(0, len(rows), count))
