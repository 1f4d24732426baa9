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
TO_MOVE = f"""() => {{
    const box = document.querySelector("#from-player textarea, #from-player input");
    const tabs = [...document.querySelectorAll("#views [role=tab]")];
    if (JSON.parse(box.value).easi3r === "path") tabs.find(tab => tab.innerText.trim() === "{MOVES}").click();
}}"""
Answer = Callable[[dict, str], dict]  # (what the player says, page) -> what changes
BUSY = "What you asked for is still being computed. Wait for it, or press Cancel first."


def looped(label: str, name: str) -> gr.Video:
    """A video of the result that plays by itself."""
    return gr.Video(label=label, elem_id=name, autoplay=True, loop=True, buttons=["download"])


class ResultTab:
    """Functions return or yield what changes: widget -> value.

    Who starts a run names it in `going`. `_follow` tells from there how far it is, and of what there is to show only a
    number: with every change gradio builds all widgets anew that a function may change. `_show` changes them. None
    changes tabs or columns: with everything that is told, the browser copies all that is in one that may change.
    What is empty is hidden by page.css: the clock of a widget that is taken away while it changes goes on for ever.
    """

    def __init__(self, sessions: Sessions, visitors: Visitors) -> None:
        self._sessions, self._visitors = sessions, visitors
        self.moves, self.size = camera_moves.CameraMoves(), RealSize(self.change)
        stored, busy = (lambda page: sessions.get(visitors.of(page))), lambda page: visitors.going_on(visitors.of(page))
        self.touch = WhatMoves(stored, busy, self.change, self.run)
        self.downloads = Downloads(lambda page: None if busy(page) else stored(page), self.add)
        # to what a player in the page says: kind -> answer
        self.answers: dict[str, Answer] = {
            "path": self._render,
            "call": self.touch.heard,
            "scale": self.size.from_player,
        }

    def lay_out(self, teaser: Path) -> None:
        """The widgets. teaser: a video that is shown until there is a result."""
        look: dict[str, Any]
        # `Job.name` of the run to be followed; that and how much of it there is to show; how much is shown
        self.going, self.news = (gr.Textbox(visible="hidden", elem_id=name) for name in ("going", "news"))
        self.seen = gr.State(("", 0))
        with gr.Row():
            look = {"label": "Progress", "interactive": False, "max_lines": 1, "container": False, "scale": 4}
            self.status = gr.Textbox(visible=False, elem_id="status", min_width=320, **look)
            look = {"variant": "stop", "visible": False, "scale": 1, "min_width": 90}
            self.cancel = gr.Button("Cancel", elem_id="cancel", **look)
        self.teaser = gr.HTML(texts.teaser(teaser), elem_id="teaser")
        with gr.Column(elem_id="outputs"):  # beside the teaser it is hidden
            self.mind = gr.Markdown(elem_id="mind")
            self.heard = gr.Textbox(visible="hidden", elem_id="from-player")
            with gr.Tabs(elem_id="views", overflow_behavior="wrap"):
                with gr.Tab("4D scene"):
                    self.player = gr.HTML(elem_id="player")
                    self.size.lay_out()
                self._lay_out_pictures()
                self.downloads.lay_out()
            self.report = gr.Markdown(elem_id="report")  # below: on a phone the scene comes first
        self.state = [self.status, self.cancel]
        shown = [self.going, self.teaser, self.mind, self.report, self.player]
        self.all = [*self.state, *shown, *self.pictures, *self.moves.widgets, *self.downloads.widgets]

    def _lay_out_pictures(self):
        """Tabs with videos and images; `pictures` widget -> file of the result."""
        self.tabs, self.pictures = [], {}
        for title, shown in PICTURES.items():
            with gr.Tab(title) as tab:
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
        heard(self._answer, self.heard, self.going, trigger_mode="multiple", **QUIET).success(js=TO_MOVE, **QUIET)
        each: dict[str, Any] = {"concurrency_limit": None, "trigger_mode": "multiple", **QUIET}
        self.going.change(self._follow, None, [self.status, self.news], **each)
        given, shows = [self.news, self.seen], [*self.all, self.seen]
        shown = self.news.change(self._show, given, shows, trigger_mode="multiple", **QUIET)  # one by one
        self.downloads.wire(self.going, shown.then)
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
        return self.add(lambda session: camera_moves.steps(said, session), page)

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

    def _follow(self, request: gr.Request) -> Iterator[dict]:
        """How far the visitor's run is, and what there is to show; it goes on when this is closed."""
        visitor = self._visitors.of(str(request.session_hash))
        job = self._visitors.last(visitor)
        if job is None:
            yield {self.news: gr.skip()}
            return
        told = "Starting"
        yield {self.news: f"{job.name} 0"}
        for event in job.events():
            match event:
                case jobs.Tick():
                    yield {self.status: told}  # it can be stopped only between yields
                case jobs.Progress():
                    told = f"{event.fraction:4.0%}  {event.text}"
                    yield {self.status: told}
                case jobs.Failed():
                    yield {self.news: f"{job.name} {job.count} over"}  # other words, also if nothing has happened since
                case _:
                    yield {self.news: f"{job.name} {job.count}"}
            if isinstance(event, jobs.Failed) and event.sentence != jobs.CANCELLED:
                raise gr.Error(event.sentence, duration=None, print_exception=False)

    def _show(self, news: str, seen: tuple[str, int], request: gr.Request) -> dict:
        """What of the visitor's run is not shown yet; news: of `_follow`, of which a busy page may miss some."""
        visitor = self._visitors.of(str(request.session_hash))
        job = self._visitors.last(visitor)
        name, count, *_ = (*news.split(), "", "")
        if not count or (job and job.name != name):  # another run has taken its place
            return {self.going: gr.skip()}
        if job is None:
            return self._ended(visitor, jobs.CANCELLED)
        shown = {} if seen[0] == name else self._begun(job, visitor)
        for event in job.happened(seen[1] if seen[0] == name else 0, int(count)):
            shown |= self._of(event, job, visitor)
        return {**shown, self.seen: (name, int(count))}

    def _begun(self, job, visitor):
        fresh = {self.player: texts.WAITING, self.report: "", self.mind: ""}
        return {
            self.status: gr.update(visible=True),
            self.cancel: gr.update(visible=True),
            self.teaser: "",
            **({} if self._adds(job, self._sessions.get(visitor)) else fresh),
        }

    def _of(self, event, job, visitor):
        """What shows an event of a run."""
        # visible: all may have happened since `_begun`
        done = {self.status: gr.update(value="done", visible=True), self.cancel: gr.update(visible=False)}
        match event:
            case jobs.Failed(sentence):
                return self._ended(visitor, sentence)
            case jobs.MasksReady(path):
                return {self.player: texts.first_masks(path), **self._picture("masks.mp4", path)}
            case jobs.SceneReady(player, info, _, note):
                return self._scene(player, info, note, job.about)
            case jobs.FilesReady(files, archive):
                return {**self._files(files, archive), **done}
            case jobs.Rendered(files):
                return {**self.moves.shown(files), **done}
        return {}

    def _ended(self, visitor, sentence):
        """What there was before a run that has ended without a result."""
        nothing = {self.player: texts.NOTHING, self.report: "", self.mind: "", **dict.fromkeys(self.pictures)}
        before = self.stored(self._sessions.get(visitor)) or nothing
        cancelled = sentence == jobs.CANCELLED
        told = gr.update(value=sentence if cancelled else "", visible=cancelled)
        return {**before, self.status: told, self.cancel: gr.update(visible=False)}

    def cancelled(self, request: gr.Request) -> dict:
        """Cancel was pressed: the run ends, and `_show` shows what was there before."""
        self._visitors.cancel(self._visitors.of(str(request.session_hash)))
        return {self.status: jobs.CANCELLED, self.cancel: gr.update(visible=False)}

    # ---- results

    def stored(self, session: Session | None) -> dict:
        """What shows a result that is there already; nothing if there is none."""
        if session is None or not session.files:
            return {}
        return {
            self.status: gr.update(value="done", visible=True),
            self.teaser: "",
            **self._scene(session.files["player.html"], session.info, session.note, session.number),
            **self._files(session.files, session.archive),
            self.downloads.most: session.player_mb,
        }

    def _scene(self, player, info, note, number):
        return {
            self.mind: texts.to_mind(info),
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
