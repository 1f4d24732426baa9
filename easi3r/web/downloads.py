"""The tab "Downloads": files of a result, and how large the player and scene.glb may be, which are thinned to it."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import InputError
from ..export.scene import PLAYER_MB, Scene
from . import files, jobs, texts
from .compare_tab import QUIET
from .sessions import Session

SMALLEST, LARGEST = 2, 40  # MB; above, a page takes long to load it, and nothing gets finer
THINNING = """The player and scene.glb are thinned over space, and those of a long clip over time, until each has at
most so many megabytes: fewer to send it, more for what is fine. All other files are complete in any case."""
# ResultTab.add: (steps of a run about the stored result, page) -> what changes
Add = Callable[[Callable[[Session], jobs.Steps], str], dict]


class Downloads:
    """Functions return what changes: widget -> value. stored: page -> its visitor's session, if they have one
    and no run goes on."""

    def __init__(self, stored: Callable[[str], Session | None], add: Add) -> None:
        self._stored, self._add = stored, add

    def lay_out(self) -> None:
        """The tab and its widgets."""
        look: dict[str, Any] = {"interactive": False}
        with gr.Tab("Downloads") as self.tab:
            gr.Markdown(texts.FILES)
            label = "Download everything (zip)"
            self.everything = gr.DownloadButton(label, variant="primary", elem_id="everything", **look)
            self.singly = gr.File(label="Single files", file_count="multiple", elem_id="files", **look)
            with gr.Accordion("Smaller or larger", open=False, elem_id="thinning"):
                gr.Markdown(THINNING)
                with gr.Row(equal_height=True):
                    label = "Player and scene.glb, each at most (MB)"
                    look = {"step": 1, "label": label, "elem_id": "player-mb", "min_width": 200}
                    self.most = gr.Slider(SMALLEST, LARGEST, PLAYER_MB, **look)
                    self.apply = gr.Button("Apply", elem_id="apply-player-mb", min_width=90, scale=0)
        self.widgets = [self.everything, self.singly, self.most]

    def wire(self, going: gr.Textbox, ended: Callable[..., Any]) -> None:
        """Events. going: what a run changes; ended: the event that all is shown."""
        self.apply.click(self._thin, self.most, going, **QUIET)
        for happens in (self.tab.select, ended):
            happens(self._again, None, [self.everything, self.singly], **QUIET)

    def shown(self, written: dict[str, str], archive: str) -> dict:
        """What shows the files of a result, name -> path, and the zip of them."""
        single = [path for path in written.values() if Path(path).is_file()]
        return {self.singly: single, self.everything: gr.DownloadButton(value=archive, interactive=True)}

    def _again(self, request: gr.Request) -> dict:
        """Gradio loses what comes just while a tab opens."""
        session = self._stored(str(request.session_hash))
        if session is None or not session.files:
            return {self.everything: gr.skip()}
        return self.shown(session.files, session.archive)

    def _thin(self, most: float, request: gr.Request) -> dict:
        try:
            return self._add(lambda session: lambda report: _thinned(session, most, report), str(request.session_hash))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None


def _thinned(session: Session, most: float, report: jobs.Report) -> Iterator[jobs.Event]:
    report(0.1, "Thinning the scene")
    result = session.result()
    if result is None:
        raise InputError("The result is gone; reconstruct the clip again.")
    scene = Scene(result, player_mb=most)
    session.files, session.archive = files.write_thinned(scene, session.files, session.folder, report)
    session.player_mb = most
    yield jobs.SceneReady(session.files[files.PLAYER], result.info, False, session.note)
    yield jobs.FilesReady(session.files, session.archive)
