"""easi3r batch: the clips of a folder or list with some systems, and a word on each that failed."""

from argparse import ArgumentParser, Namespace
from collections import Counter

from ..backbones.base import Progress
from ..options import Options
from ..paths import check_name, quoted
from .find import find_clips
from .many import reconstruct_all
from .places import inside, normal
from .table import TABLE

_ADDRESS = (
    'run on Ray (pip install ".[ray]"), a worker per GPU or per two cores: local (this machine), auto (the '
    "cluster this machine is in) or HOST:PORT of a cluster; all its machines need easi3r and the same paths"
)


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes beside the options of a run."""
    parser.add_argument("clips", metavar="FOLDER_OR_LIST", help="folder of clips, or text file with one in each line")
    parser.add_argument("--out", required=True, metavar="DIR", help="results go to DIR/CLIP/SYSTEM, and DIR/batch.csv")
    parser.add_argument("--systems", default="auto", metavar="A,B", help="names of the table below (default: auto)")
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on in DIR: rows of an earlier batch.csv stay in it; what is done with the same options is skipped in "
        "any case",
    )
    add_address(parser)


def add_address(parser: ArgumentParser) -> None:
    """The flag of what can run on a cluster."""
    parser.add_argument("--address", help=_ADDRESS)


def run(arguments: Namespace, options: Options, progress: Progress) -> int:
    """Returns the exit code: 0, or 1 when a clip failed. Raises `InputError`."""
    names = [name.strip() for name in arguments.systems.split(",")]
    clips, passed = find_clips(arguments.clips, normal(check_name(arguments.out)))
    print("\n".join(f"Note: {said}" for said in passed), end="\n" if passed else "")
    rows = reconstruct_all(clips, arguments.out, names, options, arguments.address, arguments.resume, progress)
    for row in rows:
        if row.failure:
            print(f"Failed: {quoted(row.clip)} with {row.system}. {row.failure}")
    print(", ".join(f"{count} {state}" for state, count in Counter(row.state for row in rows).items()))
    print(inside(normal(arguments.out), TABLE))
    return int(any(row.state == "failed" for row in rows))
