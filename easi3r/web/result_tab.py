"""The tab "Result": its widgets, and what a run or a visitor's stored result changes on them."""

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gradio as gr

from ..errors import InputError
from ..reconstruction import Reconstruction
from . import camera_moves, jobs, texts
from .compare_tab import QUIET
from .downloads import Downloads
from .real_size import RealSize
from .sessions import Session, Sessions
from .visitors import Visitors
from .what_moves import WhatMoves

WHAT_MOVES = "What moves"
PICTURES = {  # tab -> file of the result -> label
    WHAT_MOVES: {"masks.mp4": "What moves"},
    "Without movers": {"background.mp4": "Striped where too few frames show what is there"},
    "Video": {"orbit.mp4": "The scene as a video"},
    "Depth": {"depth.mp4": "Depth: red is near, blue is far", "confidence.mp4": "How sure: yellow is sure"},
    "Camera path": {"path.png": "From above"},
    "Look inside": {"inside.mp4": "How the moving pixels were found"},
}
MOVES = "Video"  # the tab with the videos of camera moves
HEAR = """() => addEventListener("message", event => {
    const box = document.querySelector("#from-player textarea, #from-player input");
    if (!event.data?.easi3r || !box) return;
    box.value = JSON.stringify({...event.data, at: Date.now()});  // the same again is news too
    box.dispatchEvent(new Event("input", {bubbles: true}));
    if (event.data.easi3r === "path") document.querySelector("#status")?.scrollIntoView({block: "nearest"});
})"""
Answer = Callable[[dict, str], dict]  # (what the player says, page) -> what changes
BUSY = "Your clip is being computed. Wait for it, or press Cancel first."


def looped(label: str, name: str) -> gr.Video:
    """A video of the result that plays by itself."""
    return gr.Video(label=label, elem_id=name, autoplay=True, loop=True, buttons=["download"])


class ResultTab:
    """Functions return or yield what changes: widget -> value.

    Who starts a run names it in `going`. Its progress and what it has to show are followed from there, apart: with
    every change gradio builds all widgets anew that a function may change, which takes a busy server long.
    """

    def __init__(self, sessions: Sessions, visitors: Visitors) -> None:
        self._sessions, self._visitors = sessions, visitors
        self.moves, self.size = camera_moves.CameraMoves(), RealSize(self.change)
        stored, busy = (lambda page: sessions.get(visitors.of(page))), lambda page: visitors.going_on(visitors.of(page))
        self.touch = WhatMoves(stored, busy, self.change, self.run)
        self.downloads = Downloads(stored, self.add)
        # to what a player in the page says: kind -> answer
        self.answers: dict[str, Answer] = {
            "path": self._render,
            "call": self.touch.heard,
            "scale": self.size.from_player,
        }

    def lay_out(self, teaser: Path) -> None:
        """The widgets. teaser: a video that is shown until there is a result."""
        look: dict[str, Any]
        # `Job.name` of the run to be followed; two, as what one change starts waits for each other
        self.going, self.shown = (gr.Textbox(visible="hidden", elem_id=name) for name in ("going", "shown"))
        with gr.Row():
            look = {"label": "Progress", "interactive": False, "max_lines": 1, "container": False, "scale": 4}
            self.status = gr.Textbox(visible=False, elem_id="status", min_width=320, **look)
            look = {"variant": "stop", "visible": False, "scale": 1, "min_width": 90}
            self.cancel = gr.Button("Cancel", elem_id="cancel", **look)
        self.teaser = gr.HTML(texts.teaser(teaser), elem_id="teaser")
        with gr.Column(visible=False) as self.outputs:
            self.mind = gr.Markdown(visible=False, elem_id="mind")
            self.heard = gr.Textbox(visible="hidden", elem_id="from-player")
            with gr.Tabs(elem_id="views", overflow_behavior="wrap") as self.views:
                with gr.Tab("4D scene"):
                    self.player = gr.HTML(elem_id="player")
                    self.size.lay_out()
                self._lay_out_pictures()
                self.downloads.lay_out()
            self.report = gr.Markdown(elem_id="report")  # below: on a phone the scene comes first
        self.state = [self.status, self.cancel]
        shown = [self.going, self.shown, self.teaser, self.outputs, self.mind, self.report, self.views, self.player]
        self.all = [*self.state, *shown, *self.pictures, *self.moves.widgets, *self.downloads.widgets]

    def _lay_out_pictures(self):
        """Tabs with videos and images; `pictures` widget -> file of the result."""
        self.tabs, self.pictures = [], {}
        for title, shown in PICTURES.items():
            with gr.Tab(title, id=title) as tab:
                self.tabs.append(tab)
                if title == MOVES:
                    self.moves.lay_out()
                for file, label in shown.items():
                    name, kind = file.split(".")
                    look = {
                        "label": label,
                        "elem_id": name,
                        "interactive": False,
                        "buttons": ["download", "fullscreen"],
                    }
                    widget = looped(label, name) if kind == "mp4" else gr.Image(alt_text=label, **look)
                    self.pictures[widget] = file
                if title == WHAT_MOVES:
                    self.touch.lay_out()

    def wire(self, blocks: gr.Blocks, clip: gr.State) -> None:
        """Events. clip: the page's `clips.Chosen`."""
        blocks.load(None, js=HEAR, **QUIET)
        heard = self.heard.change  # its "input" is for keys only
        heard(self._answer, self.heard, [self.going, self.views], trigger_mode="multiple", **QUIET)
        each: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}
        followed = self.going.change(self._results, None, self.all, **each)
        self.downloads.wire(self.going, followed.then)
        self.shown.change(self._progress, None, self.status, **each)
        self.size.wire(self.going)
        for tab in self.tabs:
            tab.select(self._show_pictures, None, [*self.pictures, *self.moves.widgets], **QUIET)
        masks = next(widget for widget, file in self.pictures.items() if file == "masks.mp4")
        self.touch.wire(blocks, clip, self.tabs[list(PICTURES).index(WHAT_MOVES)], masks, self.going)

    # ---- what the player says

    def _answer(self, said: str, request: gr.Request) -> dict:
        try:
            message = json.loads(said)
            answer = self.answers[message["easi3r"]]
        except (ValueError, TypeError, KeyError):  # not from our player
            return {self.going: gr.skip()}
        try:
            return answer(message, str(request.session_hash))
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None

    def change(self, edit: Callable[[Reconstruction], Reconstruction], page: str) -> dict:
        """Replace the visitor's result by what `edit` makes of it; the scene follows at once, then all files.

        What is there stays until then, or if `edit` fails. Files that are just being written give way. Raises
        `InputError` if there is nothing.
        """
        visitor = self._visitors.of(page)
        session, job = self._sessions.get(visitor), self._visitors.going_on(visitor)
        result = session.result() if session else None
        if session is None or result is None:
            raise InputError("There is no result to change; reconstruct a clip first.")
        note = session.note
        given_way = job if job and not session.files else None
        if job and not given_way:
            gr.Warning(BUSY)
            return {self.going: gr.skip()}

        def make(progress: jobs.Report) -> Iterator[tuple[Reconstruction, str]]:
            progress(0.5, "Changing the result")
            changed = edit(result)
            while given_way and not given_way.ended:  # it writes into the session that this one replaces
                progress(0.5, "Changing the result")
                time.sleep(0.1)
            yield changed, note

        changes = self._start(self._reconstructing(make, visitor, session.number), visitor)
        if given_way:  # once the other has taken its place
            given_way.cancel()
        return changes

    def _render(self, said: dict, page: str) -> dict:
        """The player asks for the video of a camera move."""
        return {
            self.views: gr.Tabs(selected=MOVES),
            **self.add(lambda session: camera_moves.steps(said, session), page),
        }

    def add(self, steps: Callable[[Session], jobs.Steps], page: str) -> dict:
        """Start a run that adds to the visitor's result or changes its files; `InputError` if it cannot be now."""
        visitor = self._visitors.of(page)
        session = self._sessions.get(visitor)
        if self._visitors.going_on(visitor):
            raise InputError(BUSY)
        if session is None or not session.files:
            raise InputError("There is no result yet; reconstruct a clip first.")
        return self._start(jobs.Job(steps(session), about=session.number), visitor)

    # ---- runs

    def run(self, make: jobs.Make, page: str) -> dict:
        """Run `make(progress)`, see `jobs.reconstruction`, for the visitor of a page; what there is to see is shown.

        While they have a run that goes on, there is no other.
        """
        visitor = self._visitors.of(page)
        if self._visitors.going_on(visitor):
            gr.Warning(BUSY)
            return {self.going: gr.skip()}
        return self._start(self._reconstructing(make, visitor), visitor)

    def _reconstructing(self, make, visitor, number=""):
        """A run; number: of the result that it changes."""
        session, before = Session(), self._sessions.get(visitor)
        session.number = number or session.folder.name
        session.player_mb = before.player_mb if before else session.player_mb
        steps = jobs.reconstruction(make, session, lambda: self._sessions.keep(visitor, session))
        # ZeroGPU's: no GPU free, the day's share used up
        return jobs.Job(steps, known=(gr.Error,), about=session.number)

    def _start(self, job, visitor):
        self._visitors.start(visitor, job)
        return {self.going: job.name}

    def came(self, page: str, visitor: str) -> dict:
        """A page is loaded: show what its visitor has, a run that goes on or a result."""
        visitor = self._visitors.came(page, visitor)
        job, session = self._visitors.going_on(visitor), self._sessions.get(visitor)
        if job is None or self._adds(job, session):
            shown = self.stored(session)
        else:
            shown = {}
        return {self.going: job.name if job else gr.skip(), **shown}

    def _adds(self, job, session):
        """Whether a run adds to this result or changes it."""
        return session is not None and job.about == session.number

    def example(self, session: Session, page: str) -> dict:
        """Show a result that is there already and make it that of the page's visitor."""
        visitor = self._visitors.of(page)
        if self._visitors.going_on(visitor):
            gr.Warning(BUSY)
            session.close()
            return {self.going: gr.skip()}
        self._sessions.keep(visitor, session)
        return self.stored(session)

    def _progress(self, request: gr.Request) -> Iterator[Any]:
        """How far the visitor's run is; it goes on when this is closed."""
        visitor = self._visitors.of(str(request.session_hash))
        job = self._visitors.last(visitor)
        told = "Starting"
        for event in job.events() if job else ():
            match event:
                case jobs.Failed(jobs.CANCELLED):
                    if self._visitors.last(visitor) is None:  # else another run has taken its place
                        yield jobs.CANCELLED
                case jobs.Failed(sentence):
                    raise gr.Error(sentence, duration=None, print_exception=False)
                case jobs.Tick():
                    yield told  # it can be stopped only between yields
                case jobs.Progress():
                    told = f"{event.fraction:4.0%}  {event.text}"
                    yield told
                case jobs.FilesReady() | jobs.Rendered():
                    yield "done"  # `_results` says so too, but what was told here before may reach the page after it

    def _results(self, request: gr.Request) -> Iterator[dict]:
        """What the visitor's run has to show."""
        visitor = self._visitors.of(str(request.session_hash))
        job, session = self._visitors.last(visitor), self._sessions.get(visitor)
        if job is None:
            yield {self.going: gr.skip()}
            return
        fresh = {self.player: texts.WAITING, self.report: "", self.mind: gr.update(visible=False)}
        yield {
            self.shown: job.name,
            self.status: gr.update(visible=True),
            self.cancel: gr.update(visible=True),
            self.outputs: gr.update(visible=True),
            self.teaser: gr.update(visible=False),
            **({} if self._adds(job, session) else fresh),
        }
        done = {self.status: "done", self.cancel: gr.update(visible=False)}
        for event in job.events():
            match event:
                case jobs.Failed(sentence):
                    if self._visitors.last(visitor) in (None, job):  # else another run has taken its place
                        before = self.stored(self._sessions.get(visitor)) or {self.player: texts.NOTHING}
                        hidden = gr.update(value="", visible=False)
                        told = jobs.CANCELLED if sentence == jobs.CANCELLED else hidden
                        yield {**before, self.status: told, self.cancel: gr.update(visible=False)}
                case jobs.MasksReady():
                    yield {self.player: texts.first_masks(event.path), **self._picture("masks.mp4", event.path)}
                case jobs.SceneReady():
                    yield self._scene(event.player, event.info, event.note, job.about)
                case jobs.FilesReady():
                    yield self._files(event.files, event.archive)
                    yield done
                case jobs.Rendered():
                    yield self.moves.shown(event.files)
                    yield done

    def cancelled(self, request: gr.Request) -> dict:
        """Cancel was pressed: the run ends, and `_results` shows what was there before."""
        self._visitors.cancel(self._visitors.of(str(request.session_hash)))
        return {self.status: jobs.CANCELLED, self.cancel: gr.update(visible=False)}

    # ---- results

    def stored(self, session: Session | None) -> dict:
        """What shows a result that is there already; nothing if there is none."""
        if session is None or not session.files:
            return {}
        return {
            self.status: gr.update(value="done", visible=True),
            self.outputs: gr.update(visible=True),
            self.teaser: gr.update(visible=False),
            **self._scene(session.files["player.html"], session.info, session.note, session.number),
            **self._files(session.files, session.archive),
            self.downloads.most: session.player_mb,
        }

    def _scene(self, player, info, note, number):
        mind = texts.to_mind(info)
        return {
            self.mind: gr.update(value=mind, visible=bool(mind)),
            self.report: texts.made_with(info, note),
            self.player: texts.embedded(player, number),
            self.downloads.everything: gr.DownloadButton(interactive=False),
        }

    def _picture(self, name, path):
        return {widget: path for widget, file in self.pictures.items() if file == name}

    def _files(self, files, archive):
        return {
            **{widget: files.get(name) for widget, name in self.pictures.items()},
            **self.moves.shown(files),
            **self.downloads.shown(files, archive),
        }

    def _show_pictures(self, request: gr.Request) -> dict:
        """Videos and images of the stored result: gradio loses what comes for a closed tab; opening it asks again."""
        visitor = self._visitors.of(str(request.session_hash))
        session, job = self._sessions.get(visitor), self._visitors.going_on(visitor)
        files = dict(session.files) if session else {}
        files |= {"masks.mp4": job.masks} if job and job.masks else {}
        pictures = {widget: files.get(name, gr.skip()) for widget, name in self.pictures.items()}
        # one that has come since is not taken away
        moves = self.moves.shown(files) if camera_moves.MOVE in files else dict.fromkeys(self.moves.widgets, gr.skip())
        return {**pictures, **moves}
