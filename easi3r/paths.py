"""What can go wrong with a path before anything is read from it, in words."""

import errno
import os
import re
import stat
import tempfile
from pathlib import Path

from .errors import InputError, shortened, shown

# In the folder for the results, while a long clip is computed: its parts that are done. It is deleted in the end.
UNFINISHED = ".easi3r-unfinished"
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.+)")  # longer than the letter of a drive
_PROBLEMS: dict[int | None, str] = {
    errno.ENAMETOOLONG: "its name is longer than the name of a file can be; check the path",
    errno.ELOOP: "it is a link that leads back to itself; give the file itself",
    errno.EACCES: "you may not look into the folder it lies in; copy it to a folder of yours",
}


def check_name(path: str | Path) -> str | Path:
    """`path` (str or Path), if a file could have this name and reports can state it; else `InputError`."""
    try:
        text = os.fspath(path).encode()  # fails for what the system's own coding of names has left over
    except (TypeError, AttributeError):  # neither str nor Path
        raise InputError(f"The path is {shown(path)}; give the name of a file or a folder.") from None
    except UnicodeEncodeError:
        raise InputError(f"The name {quoted(path)} is not text in UTF-8; rename the file or folder.") from None
    if not text:  # to pathlib, that is the folder one happens to be in
        raise InputError("The path is empty; give the name of a file or a folder.")
    if b"\0" in text:
        raise InputError(f"The name {quoted(path)} holds a NUL character, which no file name can; check the path.")
    return path


def check_path(path: Path) -> bool:
    """Whether `path` (Path) is a folder; `InputError` unless it is one, or a file, that can be read."""
    check_name(path)
    try:
        mode = path.stat().st_mode
    except OSError as error:
        if address := _ADDRESS.match(path.as_posix()):
            typed = "://".join(address.groups())  # a Path has one slash there
            raise InputError(
                f"There is no file {quoted(typed)}; addresses are not followed, so download it first."
            ) from None
        problem = _PROBLEMS.get(error.errno, "check the path")
        if error.errno == errno.ENOENT and path.is_symlink():
            problem = f"it is a link to {quoted(os.readlink(path))}, which is not there; give the file itself"
        raise InputError(f"There is no file {quoted(path)} to be read; {problem}.") from None
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
        raise InputError(f"{quoted(path)} is a device or a pipe, neither file nor folder; save it as a file first.")
    if not os.access(path, os.R_OK | (os.X_OK if stat.S_ISDIR(mode) else 0)):
        raise InputError(f"{quoted(path)} may not be read by you; change its permissions, or copy it.")
    return stat.S_ISDIR(mode)


def try_writing(folder: Path) -> None:
    """`OSError` if nothing can be made in a folder; asked, some say that one may: /proc and full disks among them."""
    tempfile.TemporaryDirectory(prefix=".easi3r-", dir=folder).cleanup()


def quoted(path: str | Path) -> str:
    """A path as a message quotes it: shortened, and without characters that a terminal or a page could not show."""
    return f"'{shortened(''.join(c if c.isprintable() else '?' for c in os.fspath(path)))}'"
