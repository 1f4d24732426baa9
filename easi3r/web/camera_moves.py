"""The video of a camera move that a visitor has drawn in the player: made in a run, shown in the tab "Video"."""

import os
from collections.abc import Iterator
from typing import Any

import gradio as gr

from ..errors import InputError
from ..export.camera_path import CameraPath, read_camera_path, render_camera_path
from ..export.scene import Scene
from . import jobs
from .sessions import Session

MOVE = "camera_path.mp4"  # its name among the files of a result


def steps(said: dict, session: Session) -> jobs.Steps:
    """Steps that make the video of the move in a message of the player, of the session's result, without what the
    player has switched off: {document, without: numbers of movers, still: bool}.

    Raises `InputError` at once if it is no move.
    """
    document, without = said.get("document"), said.get("without")  # a path would read files of the server
    path = read_camera_path(document if isinstance(document, dict) else {})
    left_out = frozenset(n for n in without if isinstance(n, int)) if isinstance(without, list) else frozenset()
    shown = {"without": left_out, "still": said.get("still") is not False}
    return lambda report: _rendered(path, shown, session, report)


def _rendered(path: CameraPath, shown: dict, session: Session, report: jobs.Report) -> Iterator[jobs.Event]:
    result = session.result()
    if result is None:
        raise InputError("The result is gone; reconstruct the clip again.")
    unfinished, whole = session.folder / f"unfinished-{MOVE}", session.folder / MOVE
    render_camera_path(Scene(result, **shown), path, unfinished, report)
    os.replace(unfinished, whole)
    session.files = {**session.files, MOVE: str(whole)}
    yield jobs.Rendered(session.files)


class CameraMoves:
    """The widgets of it; functions return what changes: widget -> value."""

    def lay_out(self) -> None:
        """The widgets, hidden until there is a video."""
        look: dict[str, Any] = {"autoplay": True, "loop": True, "buttons": ["download"]}
        self.video = gr.Video(label="Your camera move", elem_id="camera-move", visible=False, **look)
        self.file = gr.DownloadButton("Download your camera move", elem_id="camera-move-file", visible=False)
        self.widgets = [self.video, self.file]

    def shown(self, files: dict[str, str]) -> dict:
        """What shows the video among the files of a result, name -> path; nothing if there is none."""
        path = files.get(MOVE)
        return {widget: gr.update(value=path, visible=path is not None) for widget in self.widgets}
