"""Zips of pictures: looked through without unpacking; unpacked into a folder that is gone afterwards."""

import shutil
import stat
import tempfile
import zipfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from . import stills
from .errors import InputError

MOST_FILES = 20_000  # ten minutes of 30 frames per second, one picture each
MOST_BYTES = 4 << 30  # of all pictures unpacked: 20,000 JPEGs of full HD; a bomb of a few MB would go far beyond
_UNREADABLE = (zipfile.BadZipFile, zlib.error, OSError, EOFError, NotImplementedError, RuntimeError, ValueError)


def pictures(path: Path) -> dict[str, zipfile.ZipInfo]:
    """Dict file name -> `ZipInfo` of the pictures in a zip: those of the folder that holds most of them.

    What the Mac adds (`__MACOSX`, names with a dot first) and files of other kinds are passed over.
    Raises `InputError` if it cannot be read, has a password, links or places outside of itself, is too large, has no
    pictures, or several folders of them.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [(info, _place(info, path)) for info in archive.infolist() if not info.is_dir()]
    except _UNREADABLE as error:
        if isinstance(error, InputError):
            raise
        raise _damaged(path) from None
    folders: dict[PurePosixPath, dict[str, zipfile.ZipInfo]] = {}
    for info, place in entries:
        hidden = any(part.startswith(".") or part == "__MACOSX" for part in place.parts)
        if place.suffix.lower() in stills.SUFFIXES and not hidden:
            folders.setdefault(place.parent, {})[place.name] = info
    found = max(folders.values(), key=len, default={})
    _check(path, found, folders)
    return found


@contextmanager
def unpacked(path: Path, names: Iterable[str] | None = None) -> Iterator[Path]:
    """A folder (`Path`) with the pictures of a zip, or those `names` of them; deleted when the `with` block ends.

    Raises `InputError` as `pictures` does.
    """
    found = pictures(path)
    with tempfile.TemporaryDirectory(prefix="easi3r-zip-") as folder:
        try:
            with zipfile.ZipFile(path) as archive:
                for name in found if names is None else names:
                    with archive.open(found[name]) as packed, open(Path(folder, name), "wb") as file:
                        shutil.copyfileobj(packed, file)
        except _UNREADABLE:
            raise _damaged(path) from None
        yield Path(folder)


def _place(info, path):
    """Where in the archive a file is; some Windows programs write backslashes."""
    place = PurePosixPath(info.filename.replace("\\", "/"))
    if stat.S_ISLNK(info.external_attr >> 16):
        raise InputError(f"The zip '{path.name}' has a link in it ('{place.name}'); zip the pictures themselves.")
    if place.is_absolute() or ".." in place.parts or info.filename[1:2] == ":":
        raise InputError(
            f"The zip '{path.name}' wants to write outside of its folder ('{info.filename}'); "
            "zip the folder of pictures anew."
        )
    if info.flag_bits & 1:
        raise InputError(f"The zip '{path.name}' has a password; zip the pictures without one.")
    return place


def _check(path, found, folders):
    names, allowed = sorted({place.name or path.name for place in folders}), ", ".join(sorted(stills.SUFFIXES))
    if not found:
        raise InputError(f"The zip '{path.name}' has no pictures; put in {allowed}. Give a video as it is, not zipped.")
    if 2 * len(found) <= sum(map(len, folders.values())):
        raise InputError(
            f"The zip '{path.name}' has several folders of pictures ({', '.join(names[:4])}); "
            "zip the one that you mean."
        )
    if len(found) > MOST_FILES:
        raise InputError(f"The zip '{path.name}' has {len(found)} pictures; at most {MOST_FILES} can be used.")
    if (size := sum(info.file_size for info in found.values())) > MOST_BYTES:
        raise InputError(
            f"The zip '{path.name}' unpacks to {size / 2**30:.0f} GB; at most {MOST_BYTES >> 30} can be "
            "used. Leave pictures out or make them smaller."
        )


def _damaged(path):
    return InputError(f"'{path.name}' cannot be read as a zip; it is damaged or not one. Zip the pictures anew.")
