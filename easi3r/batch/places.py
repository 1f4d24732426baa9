"""Folders and files by path or by URL: what lies on a server is fetched to be read, and put when it is written."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import fsspec

from ..errors import InputError
from ..paths import quoted
from ..stills import SUFFIXES

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+://")  # longer than the letter of a drive
REPORT = "report.json"  # of a result; put last, so that a folder that has one is whole


def is_remote(place: str) -> bool:
    """Whether it is a URL and not a path here."""
    return bool(_URL.match(place))


def normal(place: str | Path) -> str:
    """The same in any process: a URL as it is, but for file://, or an absolute path."""
    text = os.fspath(place)
    if text.startswith(("file://", "local://")):
        text = fsspec.filesystem("file")._strip_protocol(text)
    return text if is_remote(text) or not text else os.path.abspath(text)


def inside(place: str, *names: str) -> str:
    """What has this name in a folder."""
    return "/".join((place.rstrip("/"), *names)) if is_remote(place) else os.path.join(place, *names)


def name_of(place: str) -> str:
    """Last part of a path or URL."""
    return place.rstrip("/").rpartition("/")[2] if is_remote(place) else Path(place).name


@contextmanager
def reaching(place: str) -> Iterator[tuple[Any, str]]:
    """(file system, path in it). What goes wrong with it in the `with` block is an `InputError`."""
    try:
        yield fsspec.core.url_to_fs(place) if is_remote(place) else (fsspec.filesystem("file"), place)
    except InputError:
        raise
    except Exception as error:  # noqa: BLE001 - every kind of server has errors of its own
        said = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, FileNotFoundError) or said == place:
            said = "it is not there"
        raise InputError(f"{quoted(place)} cannot be reached ({said[:150].rstrip('.')}); check the address.") from None


def entries(place: str) -> list[tuple[str, bool]]:
    """(place, whether it is a folder) of all in a folder. Raises `InputError`."""
    with reaching(place) as (files, path):
        found = [entry for entry in files.ls(path, detail=True) if entry["name"].rstrip("/") != path.rstrip("/")]
        return [(inside(place, name_of(entry["name"])), entry["type"] == "directory") for entry in found]


def identity(clip: str) -> dict[str, Any]:
    """By which a clip is known again: name, files, bytes, last change; of a folder, of its pictures. `InputError`."""
    with reaching(clip) as (files, path):
        found = [files.info(path)]
        if found[0]["type"] == "directory":
            found = [entry for entry in files.ls(path, detail=True) if entry["name"].lower().endswith(SUFFIXES)]
        size = sum(entry["size"] for entry in found)
        changed = max((_modified(files, entry["name"]) for entry in found), default="")
        return {"name": name_of(clip), "files": len(found), "bytes": size, "modified": changed}


def _modified(files, path):
    try:
        return str(files.modified(path))
    except NotImplementedError:  # such as of http
        return ""


@contextmanager
def fetched(clip: str) -> Iterator[Path]:
    """The clip as a path here, for as long as the `with` block lasts. Raises `InputError`."""
    if not is_remote(clip):
        yield Path(clip)
        return
    with tempfile.TemporaryDirectory(prefix="easi3r-clip-") as folder:
        here = Path(folder, name_of(clip))
        with reaching(clip) as (files, path):
            files.get(path, str(here), recursive=files.isdir(path))
        yield here


@contextmanager
def writing(folder: str) -> Iterator[Path]:
    """A folder here to write a result into; what is remote is put there at the end. Raises `InputError`."""
    if not is_remote(folder):
        yield Path(folder)
        return
    with tempfile.TemporaryDirectory(prefix="easi3r-results-") as made:
        here = Path(made, "results")
        yield here
        with reaching(folder) as (files, path):
            if files.exists(path):
                files.rm(path, recursive=True)
            for source in sorted(here.rglob("*"), key=lambda source: source.name == REPORT):
                if source.is_file():
                    target = f"{path.rstrip('/')}/{source.relative_to(here).as_posix()}"
                    files.makedirs(target.rpartition("/")[0], exist_ok=True)
                    files.put_file(str(source), target)


def read(place: str) -> bytes | None:
    """What a file holds; None if it is not there. Raises `InputError`."""
    with reaching(place) as (files, path):
        return files.cat_file(path) if files.isfile(path) else None
