"""easi3r evaluate: predict into a folder (what is done is skipped), then score from files."""

import json
import shutil
import tempfile
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import __version__
from ..backbones.base import Progress
from ..batch import Failure
from ..batch import run as run_all
from ..batch.command import add_address
from ..batch.runner import reason
from ..errors import InputError
from ..export import check_place, refuse_taken, replacing
from ..paths import quoted
from ..system import System, load_backbone, load_system
from ..system.registry import check_distinct, row_of
from .datasets import DATASETS, Dataset, dataset_of
from .formats import check_folder
from .papers import paper_rows
from .predict import Settings, done, predict
from .protocol import Entry, score, summary
from .report import page, worst
from .tables import csv_text, markdown, words

_PREDICTIONS, _RESULT = "predictions", "result.json"
_FILES = ("sequences.csv", "table.md", "report.html", _RESULT)


def add_arguments(parser: ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("set", metavar="SET", help=", ".join(DATASETS))
    parser.add_argument("--data", required=True, metavar="DIR", help="folder of the data set, as downloaded")
    parser.add_argument("--predictions", metavar="DIR", help="score these, DIR/SEQUENCE/, and run nothing")
    parser.add_argument("--systems", metavar="A,B", help="names of the table below (default: auto)")
    parser.add_argument("--backbone", metavar="NAME", help="Easi3R on these weights, as in easi3r CLIP --backbone")
    parser.add_argument("--sam2", metavar="NAME", help="score SAM 2's masks: a hub id or a folder with its weights")
    parser.add_argument("--no-flow", dest="flow", action="store_false", help="align without optical flow")
    parser.add_argument("--masks-only", action="store_true", help="look for masks, align nothing")
    parser.add_argument(
        "--protocol",
        choices=("paper", "ours"),
        help="thresholds and terms as published, or the defaults of the product (default: paper; of folder: ours)",
    )
    parser.add_argument("--out", metavar="DIR", help="keep predictions, table.md, sequences.csv, report.html there")
    parser.add_argument("--json", metavar="FILE", help="write the result there")
    parser.add_argument("--sequences", metavar="A,B", help="only these")
    parser.add_argument("--limit", type=int, metavar="N", help="only the first N")
    parser.add_argument("--resume", action="store_true", help="go on in --out: what is done is not run again")
    add_address(parser)


@dataclass(frozen=True)
class _Job:
    """One system, or one folder of predictions, on the sequences asked for."""

    name: str  # of the data set
    dataset: Dataset
    sequences: Mapping[str, Path]
    left_out: list[str]
    label: str
    settings: Settings | None  # None: the predictions are there
    load: Callable[[Progress], System] | None
    predictions: Path
    resume: bool


def run(arguments: Namespace, progress: Progress) -> int:
    """Evaluate and print. Returns the exit code: 0, or 1 when no sequence was scored. Raises `InputError`."""
    name, dataset, ran = arguments.set, dataset_of(arguments.set), not arguments.predictions
    there = dataset.sequences(arguments.data)
    chosen = _chosen(there, arguments)
    _check_places(arguments, dataset)
    kept = Path(arguments.out) if arguments.out else None
    results: dict[str, Mapping[str, Any]] = {}
    shown: dict[str, tuple[Path, Path]] = {}
    with _place(kept) as out:
        jobs = _jobs(arguments, dataset, there, chosen, out)
        made = [_made(job) for job in jobs]
        for job, seconds in zip(jobs, made):
            result = results[job.label] = _evaluate(job, seconds, progress, arguments.address, alone=len(jobs) == 1)
            own = {f"{job.label}: {key}": (there[key], _folder(job, key)) for key in worst(name, result)}
            shown |= own
            if kept and len(jobs) > 1:
                _write(job.predictions.parent, name, {job.label: result}, result, own, ran)
        whole = next(iter(results.values())) if len(jobs) == 1 else {"set": name, "systems": results}
        if kept:
            _write(kept, name, results, whole, shown, ran)
    if arguments.json:
        _write_json(Path(arguments.json), whole)
    print(markdown(name, results, ran))
    print("\n".join(line for label, result in results.items() for line in words(label, result)))
    return 0 if any(result["scored"] for result in results.values()) else 1


def _jobs(arguments, dataset, there, chosen, out):
    """One for the predictions that are given, or for each of the systems: several have a folder each in `out`."""
    where = {key: there[key] for key in chosen}, [key for key in there if key not in chosen]
    if arguments.predictions:
        given = Path(arguments.predictions)
        return [_Job(arguments.set, dataset, *where, f"predictions in {given.name}", None, None, given, False)]
    systems = _systems(arguments)
    return [
        _Job(
            arguments.set,
            dataset,
            *where,
            name,
            _settings(arguments, name),
            load,
            (out / name if len(systems) > 1 else out) / _PREDICTIONS,
            arguments.resume,
        )
        for name, load in systems.items()
    ]


def _chosen(there, arguments):
    """Names of the sequences that are asked for."""
    names = list(there)
    if arguments.sequences is not None:
        wanted = [name.strip() for name in arguments.sequences.split(",")]
        unknown = [name for name in wanted if name not in there]
        if unknown:
            raise InputError(f"There is no sequence {unknown[0]!r} in this data; there are {', '.join(there)}.")
        names = [name for name in names if name in wanted]
    if arguments.limit is not None and arguments.limit < 1:
        raise InputError(f"--limit is {arguments.limit}; it must be at least 1.")
    return names[: arguments.limit]


def _check_places(arguments, dataset):
    """Raises `InputError` for options that exclude each other and for places that may not be written to."""
    given = arguments.predictions
    of_run = [arguments.systems, arguments.backbone, arguments.sam2, arguments.masks_only, not arguments.flow]
    if given is not None and any(of_run):
        raise InputError(
            "--predictions are scored as they are; leave out --systems, --backbone, --sam2, --masks-only and --no-flow."
        )
    if arguments.systems and arguments.backbone:
        raise InputError("--systems and --backbone exclude each other; --backbone X is Easi3R on the weights X.")
    if given is not None:
        check_folder(given)
    if (arguments.masks_only or arguments.sam2) and "masks" not in dataset.measures:
        raise InputError(f"{arguments.set} has no masks to score; leave out --masks-only and --sam2.")
    if arguments.resume and not arguments.out:
        raise InputError("--resume goes on in the folder of an earlier run; say which with --out.")
    for place in filter(None, (arguments.out, arguments.json)):
        path = Path(place).resolve()
        for source in filter(None, (arguments.data, given)):
            if path.is_relative_to(Path(source).resolve()):
                raise InputError(f"{quoted(place)} lies in {quoted(source)}, which is only read; choose another place.")
    if arguments.json and (Path(arguments.json).is_dir() or not Path(arguments.json).absolute().parent.is_dir()):
        raise InputError(f"{quoted(arguments.json)} cannot be written; give a file in a folder that is there.")
    if arguments.out:
        check_place(arguments.out)
        refuse_taken(Path(arguments.out), [n for n in _FILES if (Path(arguments.out) / n).exists()], _RESULT)


def _systems(arguments):
    """Name -> load(progress)."""
    if arguments.backbone:
        return {arguments.backbone: lambda progress: load_backbone(arguments.backbone, progress)}
    names = check_distinct([name.strip() for name in (arguments.systems or "auto").split(",")])
    for name in set(names) - {"auto"}:
        row_of(name)  # what is not in the table is said before anything is run
    return {name: lambda progress, name=name: load_system(name, progress=progress) for name in names}


def _settings(arguments, name):
    protocol = arguments.protocol or ("ours" if arguments.set == "folder" else "paper")
    system = f"backbone {name}" if arguments.backbone else name
    return Settings(arguments.set, system, protocol, arguments.flow, arguments.masks_only, arguments.sam2)


@contextmanager
def _place(kept: Path | None) -> Iterator[Path]:
    """The folder to write into; one that goes when nothing is to be kept."""
    if kept is not None:
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix="easi3r-evaluation-") as folder:
        yield Path(folder)


def _evaluate(
    job: _Job, seconds: dict[str, float], progress: Progress, address: str | None, alone: bool
) -> dict[str, Any]:
    """Predict what is not there yet, then score; what goes wrong with one sequence is said of it.

    seconds: of what is there. A system that cannot be loaded here ends the run if it is `alone`.
    """
    worker = _Worker(replace(job, predictions=job.predictions.absolute()))
    entries = {}
    try:
        if address is None and job.load and any(name not in seconds for name in job.sequences):
            worker.load(progress)
    except InputError as error:
        if alone:
            raise
        entries = {name: Entry("failed", str(error)) for name in job.sequences}
    if not entries:
        items = {name: (name, path.absolute(), seconds.get(name)) for name, path in job.sequences.items()}
        for name, outcome in run_all(items, lambda: worker, progress, address, gpu=job.load is not None):
            entries[name] = Entry("failed", outcome.reason) if isinstance(outcome, Failure) else outcome
    found = summary(job.name, job.dataset, {name: entries[name] for name in job.sequences}, job.left_out)
    about = {"versions": {"easi3r": __version__}, "papers": [vars(row) for row in paper_rows(job.name)]}
    return found | about | ({} if job.settings is None else {"options": vars(job.settings)})


def _made(job):
    """Seconds of the predictions that are complete. Raises `InputError` if there are some and --resume is not given."""
    if job.settings is None:
        return {}
    there = job.predictions.is_dir() and any(job.predictions.iterdir())
    if there and not job.resume:
        raise InputError(f"{quoted(job.predictions)} holds predictions; go on with --resume, or give another --out.")
    folders = {path.name: path for path in job.predictions.iterdir()} if there else {}
    taken = {name: done(folder, job.settings) for name, folder in folders.items()}
    return {name: took for name, took in taken.items() if took is not None}


class _Worker:
    """Predicts and scores the sequences of a job; on a cluster there are several of it."""

    def __init__(self, job: _Job) -> None:
        self._job = job
        self._system: System | None = None

    def load(self, progress: Progress) -> System:
        """The system, loaded when it is first asked for."""
        if self._system is None:
            assert self._job.load is not None  # only predictions that are there need none
            self._system = self._job.load(progress)
        return self._system

    def __call__(self, item: tuple[str, Path, float | None], progress: Progress) -> Entry:
        """item: name and folder of the sequence, seconds of its prediction or None if there is none yet."""
        progress(0, "scoring")
        return _entry(self._job, *item, self.load, progress)


def _entry(job, name, path, seconds, load, report):
    try:
        sequence = job.dataset.load(path)
    except InputError as error:
        return Entry("failed", str(error))
    frames, folder = sequence.frames, _folder(job, name)
    try:
        if not frames:
            return Entry("failed", "the protocol chooses none of its frames")
        if job.settings is not None and seconds is None:
            seconds = predict(sequence, name, load(report), job.settings, folder, report)
        return replace(score(sequence, _measured(job), folder), seconds=seconds)
    except Exception as error:  # noqa: BLE001 - one broken sequence never ends the run
        if job.settings is not None and seconds is None:
            shutil.rmtree(folder, ignore_errors=True)
        return Entry("failed", reason(error), frames)


def _measured(job):
    """The data set; with --masks-only without what was not predicted."""
    only = job.settings is not None and job.settings.masks_only
    return replace(job.dataset, measures=("masks",)) if only else job.dataset


def _folder(job, name):
    """Of the predictions of a sequence: by its name, or by that of its folder."""
    plain, prefixed = job.predictions / name, job.predictions / f"{job.dataset.prefix}{name}"
    return prefixed if prefixed.exists() and not plain.exists() else plain


def _write(folder, name, results, whole, shown, ran):
    """The table, the rows of all sequences, the page and the result, replacing those of an earlier run."""
    table = markdown(name, results, ran)
    said = [line for label, result in results.items() for line in words(label, result)]
    rows = [csv_text(result) for result in results.values()]
    with replacing(folder, _FILES) as new:
        (new / "table.md").write_text(table, encoding="utf-8")
        (new / "report.html").write_text(page(name, table, said, shown), encoding="utf-8")
        if len(rows) == 1:  # of several systems: in the folder of each
            (new / "sequences.csv").write_text(rows[0], encoding="utf-8")
        _write_json(new / _RESULT, whole)


def _write_json(path, result):
    path.write_text(json.dumps(result, indent=1, allow_nan=False, ensure_ascii=False) + "\n", encoding="utf-8")
