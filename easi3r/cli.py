"""The command line: easi3r CLIP --out DIR, or as its first word says: batch, compare, evaluate, render, view."""

import argparse
import logging
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import NoReturn, Self

from . import __version__
from .errors import InputError, shown
from .options import Options, allowed, kind
from .paths import UNFINISHED, quoted
from .scale import in_words

_LINE_SECONDS = 5  # between lines of progress where there is no terminal: a log of a minute fits on a screen
_RUNS = 0.8  # of the time of a comparison; the rest is writing
_EPILOG = (
    "easi3r batch FOLDER --out DIR runs many clips; easi3r compare CLIP --systems A,B several side by side; easi3r "
    "evaluate SET --data DIR measures them on a benchmark; easi3r render DIR camera_path.json makes a video of saved "
    "results, easi3r view DIR opens them in the browser; each has its --help"
)


def main(argv: Sequence[str] | None = None) -> int:
    """Reconstruct a clip and write all files; or, as the first word says, do so with a `batch` of them, `compare`
    systems on it, `evaluate` them on a benchmark, `render` a camera move or `view` what was written. Returns the exit
    code: 0, or 2 when the input cannot be used; 1 when a clip of many or a system of several failed, or nothing could
    be evaluated.
    """
    argv = sys.argv[1:] if argv is None else list(argv)
    log = logging.getLogger("easi3r")
    before = log.level
    log.setLevel(logging.ERROR)  # what it warns of is printed at the end
    commands = {
        "batch": _batch,  # a clip of that name is ./batch
        "compare": _compare,
        "evaluate": _evaluate,
        "render": _render,
        "view": _view,
    }
    command = commands.get(argv[0]) if argv else None
    try:
        return command(argv[1:]) if command else _run(_parser().parse_args(argv))
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        kept = argv[:1] in (["batch"], ["evaluate"]) or (command is None and Path(_out_of(argv), UNFINISHED).is_dir())
        done = "what was done is kept, --resume goes on" if kept else "nothing was written"
        print(f"Stopped; {done}.", file=sys.stderr)
        return 130
    finally:
        log.setLevel(before)


def _out_of(argv):
    """What --out says."""
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--out", default="out")
    return parser.parse_known_args(argv)[0].out


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        message = message if len(message) < 200 else shown(message)
        raise InputError(f"The command cannot be understood: {message}; {self.prog} --help lists what there is.")


class _ParserOfSystems(_Parser):
    """Its help ends with their table."""

    def format_help(self) -> str:
        from .system import systems  # here, as it takes seconds

        cards = (f"  {c.name:16} {c.label}; {c.weights or 'no weights'}; {c.licence}" for c in systems())
        return "\n".join(
            [super().format_help(), "systems: name, what it is, source of its weights, licence", *cards, ""]
        )


def _parser():
    parser = _start(_ParserOfSystems(prog="easi3r", description="See a video in 3D over time.", epilog=_EPILOG))
    parser.add_argument(
        "--system", help="auto (the best that can run here), or a name of the table in the README (default: auto)"
    )
    parser.add_argument(
        "--backbone", help="Easi3R on these weights: preview, dust3r, monst3r, a hub id, folder or file"
    )
    parser.add_argument(
        "--dataset-size",
        choices=("working", "source"),
        default="working",
        help="size of the pictures in the folder dataset: as processed, or as in the clip (default: %(default)s)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with a long clip whose run was stopped, from what it left in --out"
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    return _finish(parser)


def _compare_parser():
    parser = _start(_ParserOfSystems(prog="easi3r compare", description="See what several systems make of a video."))
    parser.add_argument(
        "--systems",
        required=True,
        metavar="A,B",
        help="two to four, with commas: names of the table below, or NAME:no-masks (nothing is masked), NAME:my-masks "
        "(with --masks); such as preview,preview:no-masks",
    )
    parser.add_argument("--truth", metavar="FILE", help="what is known of a rendered clip, such as examples/room.npz")
    return _finish(parser)


def _start(parser):
    parser.add_argument("clip", help="a video (mp4, mov, webm and more), a photo, or a folder or zip of photos")
    parser.add_argument("--out", default="out", help="folder for the results (default: %(default)s)")
    return parser


def _finish(parser):
    parser.add_argument(
        "--masks",
        nargs="+",
        metavar="PATH",
        help="what moves, if you know it better: a video, a folder of pictures or one PNG per frame; white = moving",
    )
    return _add_options(parser)


def _add_options(parser):
    for option in fields(Options):
        _add_option(parser, option)
    return parser


def _add_option(parser, option):
    """A flag for a field of `Options`. Values are only converted here; what they may be is for `Options` to say."""
    flag, told = "--" + option.name.replace("_", "-"), option.metadata.get("help", "")
    wanted, _ = kind(option)
    told = told.replace("%", "%%")  # argparse fills in its own words there
    if wanted is bool:
        switch = parser.add_argument(flag, action=argparse.BooleanOptionalAction, default=option.default)
        switch.help = f"{told} (default: {'yes' if option.default else 'no'})"  # some Pythons add True or False to it
        return

    def convert(text):
        try:
            return wanted(text)
        except ValueError:
            return text  # `Options` refuses it and knows the words

    told += "" if wanted is str else f"; {allowed(option)}"
    told += "" if option.default is None else " (default: %(default)s)"
    parser.add_argument(flag, type=convert, default=option.default, metavar=wanted.__name__.upper(), help=told)


def _run(arguments):
    from . import reconstruct  # here, as it takes seconds that --help need not wait for
    from .export import check_folder

    options, masks = _options(arguments), _masks(arguments)
    check_folder(arguments.out)  # before the minutes that a run may take
    with _Bar() if sys.stderr.isatty() else _Lines() as progress:
        system = _load(arguments, progress)
        kept = _kept(arguments.out, arguments.resume)
        result = reconstruct(arguments.clip, system, options, masks, progress, kept)
        progress(1, "Writing the results")
        full_size = arguments.clip if arguments.dataset_size == "source" else None
        files = result.save(arguments.out, dataset_source=full_size)
        shutil.rmtree(Path(arguments.out, UNFINISHED), ignore_errors=True)
    print(f"Made with {system.name}. {in_words(result.info)}")
    print(system.note)
    for warning in result.info["warnings"]:
        print(f"Note: {warning}")
    for path in files.values():
        print(path)
    return 0


def _batch(argv):
    from .batch import command  # here, as it takes seconds

    parser = _ParserOfSystems(
        prog="easi3r batch", description="See many videos in 3D over time: a folder or a list of clips."
    )
    command.add_arguments(parser)
    arguments = _add_options(parser).parse_args(argv)
    options = _options(arguments)
    with _Bar() if sys.stderr.isatty() else _Lines() as progress:
        return command.run(arguments, options, progress)


def _compare(argv):
    from . import comparison

    arguments = _compare_parser().parse_args(argv)
    options, masks = _options(arguments), _masks(arguments)
    names = [name.strip() for name in arguments.systems.split(",")]
    entries = comparison.choose(names, has_masks=masks is not None)
    comparison.check_out(arguments.out, entries)  # before the minutes that a run may take
    truth = None if arguments.truth is None else _truth(arguments.truth)
    with _Bar() if sys.stderr.isatty() else _Lines() as progress:
        found = comparison.compare(arguments.clip, names, options, masks, truth, progress=_part(progress, 0, _RUNS))
        files = found.save(arguments.out, _part(progress, _RUNS, 1))
    print(found.markdown())
    for path in files.values():
        print(path)
    return int(any(row.failure for row in found.table.values()))


def _evaluate(argv):
    from .evaluation import command  # here, as it takes seconds

    parser = _ParserOfSystems(
        prog="easi3r evaluate", description="Measure systems, or anybody's predictions, on a benchmark."
    )
    command.add_arguments(parser)
    arguments = parser.parse_args(argv)
    with _Bar() if sys.stderr.isatty() else _Lines() as progress:
        return command.run(arguments, progress)


def _view(argv):
    from .view import find_player, open_in_browser

    parser = _Parser(prog="easi3r view", description="Look at saved results, or a comparison, in the browser.")
    parser.add_argument("folder", help="what a run has written with --out")
    player = find_player(parser.parse_args(argv).folder)
    if not open_in_browser(player):
        print("There is no browser here; open this file in one:", file=sys.stderr)
    print(player)
    return 0


def _render(argv):
    from .export import load_reconstruction
    from .export.camera_path import check_out, read_camera_path, render_camera_path

    parser = _Parser(prog="easi3r render", description="Make a video of saved results, seen along a camera move.")
    parser.add_argument("results", metavar="DIR", help="folder that a run has written")
    parser.add_argument("path", metavar="camera_path.json", help="from Camera move in player.html, or from nerfstudio")
    parser.add_argument("--out", default="path.mp4", metavar="FILE", help="the video (default: %(default)s)")
    arguments = parser.parse_args(argv)
    path, out = read_camera_path(arguments.path), check_out(arguments.out)
    result = load_reconstruction(arguments.results)
    with _Bar() if sys.stderr.isatty() else _Lines() as progress:
        render_camera_path(result, path, out, progress)
    print(out)
    return 0


def _truth(path):
    from .sources import check_file
    from .synthetic import load_truth

    file = check_file(Path(path))
    try:
        return load_truth(file)
    except (zipfile.BadZipFile, AttributeError, KeyError, TypeError, ValueError):  # what numpy makes of another file
        raise InputError(f"{quoted(path)} is no truth of a clip; give an .npz such as examples/room.npz.") from None


def _part(progress, begin, end):
    return lambda fraction, text: progress(begin + (end - begin) * fraction, text)


def _options(arguments):
    return Options(**{option.name: getattr(arguments, option.name) for option in fields(Options)})


def _masks(arguments):
    return arguments.masks[0] if arguments.masks and len(arguments.masks) == 1 else arguments.masks


def _kept(out, resume):
    """Where the parts of a long clip that are done are kept: by the last run that has kept any, else by a new one. What
    is there stays until a run has come to its end: one that cannot begin costs no other its work.
    """
    parts = Path(out, UNFINISHED).glob("*/window-*.npz")
    last = max((int(part.parent.name) for part in parts if part.parent.name.isdigit()), default=0)
    return Path(out, UNFINISHED, str(last if resume and last else last + 1))


def _load(arguments, progress):
    from . import load_backbone, load_system

    if arguments.backbone is None:
        return load_system(arguments.system or "auto", progress=progress)
    if arguments.system is not None:
        raise InputError("--system and --backbone exclude each other; --backbone X is Easi3R on the weights X.")
    return load_backbone(arguments.backbone, progress=progress)


class _Bar:
    """Progress on a terminal."""

    def __enter__(self) -> Self:
        from tqdm import tqdm

        self._bar = tqdm(total=100, bar_format="{l_bar}{bar}| {elapsed} {desc}")
        return self

    def __call__(self, fraction: float, text: str) -> None:
        self._bar.set_description_str(text, refresh=False)
        self._bar.update(round(100 * fraction) - self._bar.n)

    def __exit__(self, *failure: object) -> None:
        self._bar.close()


class _Lines:
    """Progress in a file or a pipe: a line where a step begins, and now and then within it."""

    def __enter__(self) -> Self:
        self._step, self._due = "", 0.0
        return self

    def __call__(self, fraction: float, text: str) -> None:
        # "Measuring depth: pair 3 of 8" goes on with "Measuring depth", "9 frames" with "8 frames"
        step, now = re.sub(r":.*|[0-9.]+", "", text), time.monotonic()
        if step != self._step or now >= self._due:
            print(f"{fraction:4.0%}  {text}", file=sys.stderr, flush=True)
            self._step, self._due = step, now + _LINE_SECONDS

    def __exit__(self, *failure: object) -> None:
        pass


if __name__ == "__main__":
    sys.exit(main())
