"""batch.csv: what became of every clip."""

import csv
import io
import os
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path

from ..errors import InputError
from ..paths import quoted
from .places import inside, is_remote, reaching, read

TABLE = "batch.csv"


@dataclass(frozen=True)
class Row:
    """A clip with a system."""

    clip: str  # path or URL
    system: str  # as it was asked for
    state: str  # "waiting", "done", "failed", or "skipped": done by an earlier run
    folder: str  # of the result, in that of the table
    seconds: float | None = None  # of the reconstruction
    frames: int | None = None
    failure: str = ""  # a sentence
    warning: str = ""  # the first one of the result


def earlier(folder: str) -> list[Row]:
    """Rows of the table in a folder, but for those that were waiting; none where there is no table of ours."""
    lines = csv.DictReader(io.StringIO((read(inside(folder, TABLE)) or b"").decode("utf-8", "replace"), newline=""))
    try:
        found = [Row(**line) for line in lines]  # type: ignore[arg-type]  # numbers stay text, as they are only written
    except TypeError:
        return []
    return [row for row in found if row.state != "waiting"]


def write(rows: Iterable[Row], folder: str) -> str:
    """Replace the table in `folder` as a whole; returns its path or URL. Raises `InputError`."""
    text, place = io.StringIO(), inside(folder, TABLE)
    writer = csv.DictWriter(text, [field.name for field in fields(Row)], lineterminator="\n")
    writer.writeheader()
    writer.writerows(asdict(row) for row in rows)
    data = text.getvalue().encode("utf-8", "replace")
    if is_remote(folder):
        with reaching(folder) as (files, path):
            files.makedirs(path, exist_ok=True)
            files.pipe_file(f"{path.rstrip('/')}/{TABLE}", data)
        return place
    unfinished = inside(folder, f".{TABLE}")
    try:
        Path(unfinished).write_bytes(data)
        os.replace(unfinished, place)
    except OSError as error:
        raise InputError(
            f"The table {quoted(place)} cannot be written ({error.strerror}); what is done is in its folders. Make "
            "room, then give the same command again."
        ) from None
    return place
