"""The tab "Compare": its widgets, and what happens to them. What it needs without widgets is in `choices`."""

import time
from collections.abc import Callable, Iterator
from typing import Any

import gradio as gr

from ..options import Options
from . import choices, clips, compute, jobs, texts
from .pool import POOL
from .sessions import Session, Sessions

KEPT = "compare "  # before the visitor's name: a comparison is kept beside their result
QUIET: dict[str, Any] = {"show_progress": "hidden", "api_name": False}


def going_on(event: jobs.Event, status: gr.Textbox, cancel: gr.Button) -> Iterator[dict]:
    """What changes while a job goes on, or when it fails; raises `gr.Error` then, with its sentence."""
    match event:
        case jobs.Tick():
            yield {status: gr.update()}  # a run can be cancelled only between yields
        case jobs.Progress():
            yield {status: f"{event.fraction:4.0%}  {event.text}"}
        case jobs.Failed():
            yield {status: gr.update(value="", visible=False), cancel: gr.update(visible=False)}
            raise gr.Error(event.sentence, duration=None, print_exception=False)


def followed(
    steps: jobs.Steps, shown: Callable[[Any], dict], clean: Callable[[], None], status: gr.Textbox, cancel: gr.Button
) -> Iterator[dict]:
    """Run `steps` in a thread; yields updates. shown(event): those of the last one; clean(): after a failure."""
    job, finished = jobs.Job(steps, known=(gr.Error,)), False  # ZeroGPU's: no GPU free, the day's share used up
    try:
        yield {status: gr.update(value="Starting", visible=True), cancel: gr.update(visible=True)}
        for event in job.events():
            match event:
                case jobs.Tick() | jobs.Progress() | jobs.Failed():
                    yield from going_on(event, status, cancel)
                case _:
                    finished = True
                    yield {**shown(event), cancel: gr.update(visible=False)}
    finally:
        job.cancel()
        if not finished:  # not waited for here: gradio closes generators in the thread that serves everybody
            job.then(clean)


def fetched(name: str, status: gr.Textbox, cancel: gr.Button, after: dict) -> Iterator[dict]:
    """Fetch a system's weights; yields updates, `after` at the end."""

    def steps(report):
        POOL.system(name, report)
        yield jobs.Fetched()

    yield from followed(steps, lambda event: after, lambda: None, status, cancel)


class CompareTab:
    """Functions return or yield what changes: widget -> value."""

    def __init__(self, sessions: Sessions) -> None:
        self._sessions = sessions

    def lay_out(self) -> None:
        """The widgets."""
        look: dict[str, Any]
        gr.Markdown(texts.COMPARE)
        self.boxes: list[gr.Checkbox] = []
        found = choices.choices()
        with gr.Row(elem_id="choices"):
            for choice in found:
                look = {"elem_id": "with-" + choice.name.replace(":", "-"), "min_width": 220}
                self.boxes.append(gr.Checkbox(choice.name in choices.AT_FIRST, **self._look(choice), **look))
        self.names = [choice.name for choice in found]
        missing = choices.to_fetch()
        with gr.Accordion("Fetch weights", open=False, visible=bool(missing), elem_id="fetch"):
            gr.Markdown("Nothing is fetched without a click here. It stays on the machine that runs this page.")
            self.fetches = {}
            for card in missing:
                text = f"{card.label}: fetch {card.download_mb / 1000:.1f} GB ({card.licence})"
                self.fetches[gr.Button(text, elem_id=f"fetch-{card.name}", size="sm")] = card.name
        self.plan = gr.Markdown(clips.CHOOSE, elem_id="compare-plan")
        with gr.Row():
            self.start = gr.Button("Compare", variant="primary", elem_id="compare", scale=4)
            look = {"variant": "stop", "visible": False, "scale": 1, "min_width": 90}
            self.cancel = gr.Button("Cancel", elem_id="compare-cancel", **look)
        look = {"label": "Progress", "interactive": False, "max_lines": 1, "container": False}
        self.status = gr.Textbox(visible=False, elem_id="compare-status", **look)
        with gr.Column(visible=False) as self.outputs:
            self.views = gr.HTML(elem_id="compare-views")
            look = {"interactive": False, "variant": "primary", "elem_id": "compare-everything"}
            self.everything = gr.DownloadButton("Download the comparison (zip)", **look)
            self.table = gr.Markdown(elem_id="compare-table")
            self.masks = gr.Video(label="What moves", elem_id="compare-masks", autoplay=True, loop=True)
            buttons: list[Any] = ["download", "fullscreen"]
            look = {"label": "Camera paths", "alt_text": "Camera paths", "interactive": False, "buttons": buttons}
            self.paths = gr.Image(elem_id="compare-paths", **look)

    def _look(self, choice: choices.Choice) -> dict[str, Any]:
        return {"label": choice.label, "info": choice.hint, "interactive": choice.ready}

    def wire(self, blocks: gr.Blocks, said: gr.Markdown, given: list[Any], sensitivity: gr.Slider) -> None:
        """Events. Widgets of the page: what is said of the clip, which changes with it; clip, frames, the switch for
        SAM 2 and own mask, that are `given`; sensitivity.
        """
        boxes = self.boxes
        changes = [said.change, given[-1].change, *(box.input for box in boxes)]
        gr.on(changes, self._plan, [*given, *boxes], self.plan, **QUIET)
        blocks.load(self._availability, None, boxes, **QUIET)
        results = [self.status, self.outputs, self.cancel, self.views, self.table, self.masks, self.paths]
        results.append(self.everything)
        work = self.start.click(self._run, [*given, sensitivity, *boxes], results, concurrency_limit=1, **QUIET)
        running: list[Any] = [work]
        for button, name in self.fetches.items():
            fetch = button.click(self._fetch(name), None, [self.status, self.cancel], concurrency_limit=1, **QUIET)
            running.append(fetch)
            fetch.then(self._availability, None, boxes, **QUIET)
        state = [self.status, self.cancel]
        stopped = self.cancel.click(self._cancelled, None, state, cancels=running, queue=False, **QUIET)
        # progress may still have been on its way
        stopped.then(lambda: time.sleep(0.5), **QUIET).then(self._cancelled, None, state, **QUIET)

    def forget(self, visitor: str) -> None:
        """The visitor's page was closed."""
        self._sessions.keep(KEPT + visitor, None)

    def _ticked(self, boxes):
        return [name for name, ticked in zip(self.names, boxes) if ticked]

    def _plan(self, clip, frames, sharper, own_mask, *boxes):
        return choices.plan(clip, frames, self._ticked(boxes), bool(own_mask), bool(sharper))

    def _availability(self):
        """Weights may have been fetched since the page was built."""
        return [gr.Checkbox(**self._look(choice)) for choice in choices.choices()]

    def _run(
        self,
        clip: Any,
        frames: Any,
        sharper: bool,
        own_mask: Any,
        sensitivity: float,
        request: gr.Request,
        *boxes: bool,
    ) -> Iterator[dict]:
        if not clip:
            raise gr.Error("Choose a clip first, or one of the examples.", print_exception=False)
        if clip.problem:
            raise gr.Error(clip.problem, duration=None, print_exception=False)
        options, names = Options(int(frames), sensitivity=sensitivity, sam2=bool(sharper)), self._ticked(boxes)

        def make(progress):
            masks = clips.source_of(own_mask) if own_mask else None
            return compute.compare(clip.source, names, options, masks, progress)

        session = Session()
        keep = lambda: self._sessions.keep(f"{KEPT}{request.session_hash}", session)
        steps, shown = jobs.comparison(make, session), lambda event: self._shown(event, keep)
        yield from followed(steps, shown, session.close, self.status, self.cancel)

    def _shown(self, event, keep):
        keep()
        return {
            self.outputs: gr.update(visible=True),
            self.views: texts.embedded(event.files["compare.html"]),
            self.table: event.table,
            self.masks: event.files["masks.mp4"],
            self.paths: event.files["paths.png"],
            self.everything: gr.DownloadButton(value=event.archive, interactive=True),
            self.status: "done",
        }

    def _fetch(self, name: str) -> Callable[[], Iterator[dict]]:
        """What a click on the button of a system does."""

        def fetch():  # gradio follows generator functions, not functions that return a generator
            yield from fetched(name, self.status, self.cancel, {self.status: "Fetched: tick it above."})

        return fetch

    def _cancelled(self):
        return {self.status: "Cancelled.", self.cancel: gr.update(visible=False)}
