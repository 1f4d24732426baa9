"""Which clips a folder holds, or a list names."""

from collections import Counter
from pathlib import Path

from .. import stills
from ..containers import ALLOWED, open_clip
from ..errors import InputError
from ..paths import check_name, check_path, quoted
from ..sources import Stills, check_file, natural, open_source
from .places import entries, inside, is_remote, name_of, normal, reaching

_VIDEOS = (".mp4", ".mov", ".m4v", ".webm", ".mkv", ".avi")  # a file of that name that is none is a clip that fails
_LONGEST = 10_000_000  # bytes of a list: 100,000 clips


def find_clips(source: str | Path, out: str) -> tuple[list[str], list[str]]:
    """(clips, sentences on what was passed over or named twice): paths or URLs of the clips in a folder, in the order
    of their numbers, or of those in a list, a text file with one a line; # begins a comment, and paths are relative to
    the list.

    In a folder a clip is a video, an animation, a zip or folder of pictures, not a single photo; `out` and what has a
    dot first are passed over. What a list names is taken as it is. Raises `InputError` if there are none.
    """
    source = normal(check_name(source))
    with reaching(source) as (files, path):
        folder = files.isdir(path) if is_remote(source) else check_path(Path(source))
    if not folder:
        times = Counter(_listed(source))
        again = [f"{quoted(clip)} is named {n} times, and taken once." for clip, n in times.items() if n > 1]
        return list(times), again
    if source.rstrip("/") == out.rstrip("/"):
        raise InputError(f"{quoted(out)} is the folder of the clips; choose another for the results.")
    clips, passed = [], []
    for place, is_folder in sorted(entries(source), key=lambda entry: natural(Path(name_of(entry[0])))):
        if name_of(place).startswith(".") or place == out:
            continue
        try:
            _look(place, is_folder)
            clips.append(place)
        except InputError as error:
            passed.append(f"{quoted(name_of(place))} was passed over. {str(error).removesuffix(ALLOWED).strip()}")
    if not clips:
        why = passed[0] if passed else "It is empty."
        raise InputError(f"There is no clip in {quoted(source)}; give a folder of videos, or a list of them. {why}")
    return clips, passed


def _look(place, is_folder):
    """`InputError` if it is no clip; of what is on a server only the names are looked at."""
    check_name(place)
    name = name_of(place).lower()
    if not is_folder and name.endswith(_VIDEOS):
        return
    if is_remote(place):
        pictures = is_folder and any(one.lower().endswith(stills.SUFFIXES) for one, _ in entries(place))
        if not pictures and not name.endswith(".zip"):
            raise InputError(f"Clips on a server are {', '.join(_VIDEOS)}, .zip, or folders of pictures.")
    elif is_folder and any(one.lower().endswith(_VIDEOS) for one, _ in entries(place)):
        raise InputError("Videos in folders within are not looked for; give that folder by itself, or a list of clips.")
    elif is_folder or name.endswith((".zip", *stills.SUFFIXES)):
        opened = open_source(place)
        if not is_folder and isinstance(opened, Stills) and len(opened.seconds) == 1:
            raise InputError("It is a single photo; put pictures of one clip into a folder of their own.")
    else:
        with open_clip(check_file(Path(place))):  # its frames are not counted: that reads all of the file
            pass


def _listed(source):
    """Places of the clips that the lines of a file name; a damaged video may be all text."""
    with reaching(source) as (files, path):
        data = b"\0" if source.lower().endswith(_VIDEOS) else files.cat_file(path, end=_LONGEST + 1)
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text or len(data) > _LONGEST:
        raise InputError(
            f"{quoted(source)} is no list, a text file in UTF-8 with the path of a clip in each line; for one clip it "
            "is easi3r CLIP."
        )
    lines = [line.strip() for line in text.splitlines()]
    named = [line for line in lines if line and not line.startswith("#")]
    base = source.rpartition("/")[0] if is_remote(source) else str(Path(source).parent)
    named = [str(Path(line).expanduser()) if line.startswith("~/") else line for line in named]
    clips = [line if is_remote(line) or Path(line).is_absolute() else inside(base, line) for line in named]
    if not clips:
        raise InputError(f"The list {quoted(source)} names no clip; write the path of one into each line.")
    return [normal(clip) for clip in clips]
