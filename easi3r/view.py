"""easi3r view DIR: the player of saved results, or of a comparison, in the browser."""

import os
import sys
import tempfile
import webbrowser
from pathlib import Path

from .errors import InputError
from .paths import check_name, quoted

_PLAYER, _ARCHIVE, _COMPARISON = "player.html", "arrays.npz", "compare.html"
_APART = 3.0  # seconds between files that were saved together, at most: they have one time, but a zip counts in twos


def find_player(folder: str | Path) -> Path:
    """Path of the player of the results in a folder, written anew where it is missing or older than their arrays.

    Into a temporary folder, which stays, if nothing can be written there. Raises `InputError` if there are no results.
    """
    folder = Path(check_name(folder)).absolute()
    player, archive = folder / _PLAYER, folder / _ARCHIVE
    if not archive.is_file() and not player.is_file() and (folder / _COMPARISON).is_file():
        return folder / _COMPARISON
    if not archive.is_file() and not player.is_file():
        raise InputError(f"There are no results in {quoted(folder)}; give a folder that a run has written.")
    if player.is_file() and not (archive.is_file() and archive.stat().st_mtime > player.stat().st_mtime + _APART):
        return player
    from .export import load_reconstruction, save  # here, as it takes seconds that a player at hand need not wait for

    place = folder if os.access(folder, os.W_OK) else tempfile.mkdtemp(prefix="easi3r-view-")
    return Path(save(load_reconstruction(archive), place, files=[_PLAYER])[_PLAYER])


def open_in_browser(path: Path) -> bool:
    """Show a file in the browser; False if there is none, or no screen. A browser for terminals would fill this one."""
    shown = sys.platform in ("darwin", "win32") or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")))
    try:
        return bool(shown) and webbrowser.open(path.as_uri())
    except webbrowser.Error:
        return False
