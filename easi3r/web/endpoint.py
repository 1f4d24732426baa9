"""The endpoint for programs: `reconstruct` over the network. Its parameters are the fields of `Options`."""

import inspect
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any, cast

import gradio as gr
from gradio_client.utils import is_file_obj_with_meta

from ..errors import InputError, shown
from ..export import chosen_files
from ..export.archive import plain
from ..options import Options
from ..reconstruction import Reconstruction
from ..system.registry import OF_BACKBONE
from . import clips, compute, files, jobs
from .sessions import Session, Sessions

KIND = inspect.Parameter.POSITIONAL_OR_KEYWORD
_handed = Sessions()  # what programs have been given; deleted at exit, or by `files.sweep`


def reconstruct_clip(*given: Any) -> Iterator[tuple[dict | None, dict]]:
    """Reconstruct a clip on this server. Gives the zip with the files, and the report (dict of `report.json`).

    Before these, for programs that follow a job: no zip, and {"progress": share, "doing": text}.

    clip: a video, a photo, a zip of photos, or a list of photos. backbone: Easi3R on auto, preview, dust3r or monst3r.
    masks: what moves, as one file or a list of files, see `own_masks.read_masks`. system: a name of the registry, in
    place of backbone. files: names of the files wanted, as of `Reconstruction.save`; all if left out. Everything else:
    see `Options`.
    """
    named = dict(zip(PARAMETERS.parameters, given))
    files.sweep()
    _handed.prune()
    try:  # before the minutes that a run may take
        clip, masks = (_uploaded(name, named.pop(name)) for name in ("clip", "masks"))
        system, wanted = _system(named.pop("backbone"), named.pop("system")), named.pop("files")
        chosen_files(wanted)
        options = Options(**named)
    except InputError as error:
        raise gr.Error(str(error), print_exception=False) from None

    def steps(report: jobs.Report) -> Iterator[jobs.Event]:
        result, _ = deque(compute.reconstruct(clip, system, options, masks, report), maxlen=1).pop()
        yield jobs.Handed(*_handed_over(cast("Reconstruction", result), wanted))

    job = jobs.Job(steps, known=(gr.Error,))  # ZeroGPU's own: no GPU free
    try:
        for event in job.events():
            match event:
                case jobs.Progress():
                    yield None, {"progress": round(event.fraction, 3), "doing": event.text}
                case jobs.Handed():
                    yield event.archive, event.report
                case jobs.Failed():
                    raise gr.Error(event.sentence, print_exception=False)
    finally:
        job.cancel()


def _system(backbone: Any, system: Any) -> str:
    if system is not None:
        if system not in compute.names():
            raise InputError(f"system is {shown(system)}; it must be one of {', '.join(compute.names())}.")
        return system
    if not isinstance(backbone, str) or backbone not in OF_BACKBONE:
        raise InputError(f"backbone is {shown(backbone)}; it must be one of {', '.join(OF_BACKBONE)}.")
    return OF_BACKBONE[backbone]


def _signature() -> inspect.Signature:
    """clip, max_frames, backbone, sensitivity, masks, other options, system, files; all but clip may be left out."""
    options = {f.name: inspect.Parameter(f.name, KIND, default=f.default, annotation=f.type) for f in fields(Options)}
    clip = inspect.Parameter("clip", KIND, annotation=dict | list)
    backbone = inspect.Parameter("backbone", KIND, default="auto", annotation=str)
    masks = inspect.Parameter("masks", KIND, default=None, annotation=dict | list | None)
    first = [clip, options.pop("max_frames"), backbone, options.pop("sensitivity"), masks]
    system = inspect.Parameter("system", KIND, default=None, annotation=str | None)
    wanted = inspect.Parameter("files", KIND, default=None, annotation=list[str] | None)
    return inspect.Signature(
        [*first, *options.values(), system, wanted], return_annotation=Iterator[tuple[dict | None, dict]]
    )


PARAMETERS = _signature()
vars(reconstruct_clip)["__signature__"] = PARAMETERS
reconstruct_clip.__annotations__ = {p.name: p.annotation for p in PARAMETERS.parameters.values()}


def _uploaded(name: str, value: Any) -> Any:
    """What `clips.source_of` makes of the uploaded files of a client; None of none.

    gradio has made sure of every file with its mark ("meta") that it was uploaded; without it, a path is anybody's
    word.
    """
    if value is None and name == "masks":
        return None
    given = value if isinstance(value, list) else [value]
    if not given or not all(is_file_obj_with_meta(file) for file in given):
        raise InputError(f"{name} must be a file, or a list of files; hand it over as handle_file('my-clip.mp4').")
    return clips.source_of([file["path"] for file in given])


def _handed_over(result: Reconstruction, wanted: Iterable[str] | None) -> tuple[dict, dict]:
    session = Session(files.API_PREFIX)
    _handed.keep(str(session.folder), session)
    try:
        _, archive = files.write_downloads(result, session.folder, wanted)
        report = plain(result.info)
    except BaseException:
        _handed.drop(str(session.folder), session)
        raise
    return gr.FileData(path=archive, orig_name=Path(archive).name).model_dump(), report
