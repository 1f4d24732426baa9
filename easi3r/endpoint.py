"""The endpoint for programs: `reconstruct` over the network. Its parameters are the fields of `Options`."""

import inspect
import json
import logging
from dataclasses import fields
from pathlib import Path

import gradio as gr
from gradio_client.utils import is_file_obj_with_meta

from . import chosen, gpu, serving
from .errors import InputError
from .options import Options

KIND = inspect.Parameter.POSITIONAL_OR_KEYWORD
_log = logging.getLogger(__name__)


def reconstruct_clip(*given):
    """Reconstruct a clip on this server. Returns the zip with all files, and the report (dict of `report.json`).

    clip: a video, a photo, a zip of photos, or a list of photos. backbone: one of `gpu.NAMES`. masks: what moves, as
    one file or a list of files, see `own_masks.read_masks`. Everything else: see `Options`.
    """
    given = dict(zip(PARAMETERS.parameters, given))
    serving.sweep()
    try:
        clip, masks = (_files(name, given.pop(name)) for name in ("clip", "masks"))
        if (backbone := given.pop("backbone")) not in gpu.NAMES:
            raise InputError(f"backbone is {backbone!r}; it must be one of {', '.join(gpu.NAMES)}.")
        result, _ = gpu.reconstruct(clip, backbone, Options(**given), masks, lambda fraction, text: None)
        return _handed_over(result)
    except InputError as error:
        sentence = str(error)
    except gr.Error:  # ZeroGPU's own: no GPU free
        raise
    except Exception:  # noqa: BLE001 - a bug: the program gets a sentence, the server's log gets the trace
        _log.exception("A run for a program failed")
        sentence = "Something went wrong on the server; please try another clip or fewer frames."
    raise gr.Error(sentence, print_exception=False)


def _signature():
    """clip, max_frames, backbone, sensitivity, masks, then the other options; all but the clip can be left out."""
    options = {f.name: inspect.Parameter(f.name, KIND, default=f.default, annotation=f.type) for f in fields(Options)}
    clip = inspect.Parameter("clip", KIND, annotation=dict | list)
    backbone = inspect.Parameter("backbone", KIND, default="auto", annotation=str)
    masks = inspect.Parameter("masks", KIND, default=None, annotation=dict | list | None)
    first = [clip, options.pop("max_frames"), backbone, options.pop("sensitivity"), masks]
    return inspect.Signature([*first, *options.values()], return_annotation=tuple[dict, dict])


PARAMETERS = _signature()
vars(reconstruct_clip)["__signature__"] = PARAMETERS
reconstruct_clip.__annotations__ = {p.name: p.annotation for p in PARAMETERS.parameters.values()}


def _files(name, value):
    """What `chosen.source_of` makes of the uploaded files of a client; None of none.

    gradio has made sure of every file with its mark ("meta") that it was uploaded; without it, a path is anybody's
    word.
    """
    if value is None and name == "masks":
        return None
    files = value if isinstance(value, list) else [value]
    if not files or not all(is_file_obj_with_meta(file) for file in files):
        raise InputError(f"{name} must be a file, or a list of files; hand it over as handle_file('my-clip.mp4').")
    return chosen.source_of([file["path"] for file in files])


def _handed_over(result):
    folder = serving.api_folder()
    try:
        files, archive = serving.write_downloads(result, folder)
        report = json.loads(Path(files["report.json"]).read_text(encoding="utf-8"))
    except BaseException:
        serving.drop(folder, folder)
        raise
    return gr.FileData(path=archive, orig_name=Path(archive).name).model_dump(), report
