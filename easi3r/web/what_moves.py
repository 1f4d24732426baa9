"""In the tab "What moves": a picture of one moment in which a click says what moves and what stands still."""

import time
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import cv2
import gradio as gr
import numpy as np

from ..correct import call_moving, call_still, mover_at
from ..errors import InputError
from ..export.videos import mark
from ..options import Options
from ..reconstruction import Masked, Reconstruction
from ..scale import Like, sized
from ..system import systems
from . import compute, jobs
from .compare_tab import QUIET
from .sessions import Session

TELL = "**Is something wrong?** Tap what is marked but stands still, or what moves but is not marked."
STILL, MOVING = "It stands still", "It moves"
NOW = "It {} now, here and in the scene; the files follow. The camera stays as it was until you reconstruct again."
# The picture takes the keys of arrows, which move a cross, and Enter, which clicks there.
KEYS = """() => {
    const at = {x: 0.5, y: 0.5};
    const cross = document.createElement("div");
    cross.id = "touch-cross";
    const place = picture => {
        const box = picture.getBoundingClientRect();
        const [x, y] = [box.left + at.x * box.width, box.top + at.y * box.height];
        Object.assign(cross.style, {left: `${x}px`, top: `${y}px`});
        return [x, y];
    };
    document.addEventListener("focusin", event => {
        const [touch, button] = [event.target.closest?.("#touch"), event.target.closest?.("button")];
        if (!touch?.querySelector("img") || !button) return;
        button.ariaLabel = "Tap what is wrong: arrow keys move a cross, Enter taps there";
        document.querySelector("#touch-said")?.setAttribute("aria-live", "polite");
        if (!button.matches(":focus-visible")) return;
        document.body.append(cross);
        place(touch.querySelector("img"));
    });
    document.addEventListener("keydown", event => {
        const picture = event.target.closest?.("#touch")?.querySelector("img");
        const way = {ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1]}[event.key];
        if (!picture || !(way || event.key === "Enter" || event.key === " ")) return;
        event.preventDefault();
        event.stopPropagation();
        const step = event.shiftKey ? 0.1 : 0.02;
        const moved = way ? [at.x + step * way[0], at.y + step * way[1]] : [at.x, at.y];
        [at.x, at.y] = moved.map(share => Math.min(0.99, Math.max(0.01, share)));
        document.body.append(cross);
        const [clientX, clientY] = place(picture);
        if (!way) picture.dispatchEvent(new MouseEvent("click", {bubbles: true, clientX, clientY}));
    }, true);
    const gone = event => { if (!event.target.closest?.("#touch")) cross.remove(); };
    ["focusin", "pointerdown"].forEach(kind => document.addEventListener(kind, gone));
    addEventListener("scroll", () => cross.remove(), true);
}"""
Change = Callable[[Callable[[Reconstruction], Reconstruction], str], dict]
Place = tuple[int, int, int]  # frame, row, column


class WhatMoves:
    """Functions return or yield what changes: widget -> value.

    stored(page): the session of a page's visitor; busy(page): their run that goes on. change(edit, page),
    run(make, page): see `ResultTab`.
    """

    def __init__(
        self,
        stored: Callable[[str], Session | None],
        busy: Callable[[str], jobs.Job | None],
        change: Change,
        run: Callable[[jobs.Make, str], dict],
    ) -> None:
        self._stored, self._busy, self._change, self._run = stored, busy, change, run
        # In whose picture something was clicked: what is told late must not take that away again.
        self._clicked_in: weakref.WeakSet[Session] = weakref.WeakSet()

    def lay_out(self) -> None:
        """The widgets, below the video."""
        gr.Markdown(TELL, elem_id="touch-how")
        self.moment = gr.Slider(1, 2, 1, step=1, label="Moment", elem_id="touch-moment")
        look: dict[str, Any] = {"interactive": False, "buttons": [], "elem_id": "touch", "format": "png"}
        self.picture = gr.Image(label="Tap what is wrong", **look)
        self.place = gr.State()  # `Place` of the last click
        self.said = gr.Markdown(elem_id="touch-said")
        with gr.Row():
            self.call = gr.Button(STILL, visible=False, variant="primary", elem_id="touch-call", min_width=140)
            self.again = gr.Button("Reconstruct again with this", visible=False, elem_id="touch-again", min_width=140)
        self.seen = gr.State()  # folder of the session whose result is in the picture
        self._mine = [self.moment, self.picture, self.place, self.said, self.call, self.again, self.seen]

    def wire(self, blocks: gr.Blocks, clip: gr.State, tab: gr.Tab, masks: gr.Video, going: gr.Textbox) -> None:
        """Events. clip: the page's `clips.Chosen`; tab: where this is; masks: the video above, which changes with the
        result; going: what `change` and `run` change.
        """
        blocks.load(None, js=KEYS, **QUIET)
        masks.change(self._news, [self.moment, self.seen], self._mine, **QUIET)
        shows = [tab.select, self.moment.input]
        gr.on(shows, self._show, self.moment, self._mine, trigger_mode="always_last", **QUIET)
        self.picture.select(self._clicked, self.moment, self._mine, **QUIET)
        given, results = [self.place, self.moment], [going, *self._mine]
        # the next correction need not wait for the files of the last
        self.call.click(self._call, given, results, concurrency_limit=4, trigger_mode="multiple", **QUIET)
        self.again.click(self._again, clip, going, **QUIET)

    def heard(self, message: dict, page: str) -> dict:
        """The player says that what is seen somewhere moves or stands still: {moving, frame, row, column}."""
        place = tuple(message.get(name) for name in ("frame", "row", "column"))
        return self._change(_edit(bool(message.get("moving")), place), page)

    # ---- what the visitor does

    def _news(self, moment: float, seen: str, request: gr.Request) -> dict:
        """There may be another result; if not, what was clicked stays."""
        session = self._stored(str(request.session_hash))
        if session is None or str(session.folder) == seen or session in self._clicked_in:
            return {self.said: gr.skip()}
        return self._show(moment, request)

    def _show(self, moment: float, request: gr.Request) -> dict:
        """The picture of a moment, without a click."""
        session = self._stored(str(request.session_hash))
        result = session.result() if session else None
        if session is None or result is None:
            return {self.said: gr.skip()}
        t = self._frame(result, moment)
        corrected = bool(result.info.get("corrections"))
        return {
            self.moment: gr.update(maximum=max(2, len(result.frames)), value=t + 1),
            self.picture: _marked(result, session.movers(), t),
            self.place: None,
            self.said: "",
            self.call: gr.update(visible=False),
            self.again: gr.update(visible=corrected),
            self.seen: str(session.folder),
        }

    def _clicked(self, moment: float, click: gr.SelectData, request: gr.Request) -> dict:
        """What is there is said, and marked in the picture."""
        session = self._stored(str(request.session_hash))
        result = session.result() if session else None
        if session is None or result is None:
            raise gr.Error("There is no result any more; reconstruct a clip first.", print_exception=False)
        self._clicked_in.add(session)
        t, (column, row), movers = self._frame(result, moment), click.index, session.movers()
        mover = mover_at(movers[t], row, column)
        number = f"Mover {mover}" if movers.max() > 1 else "This"
        return {
            **self._show(moment, request),
            self.picture: _marked(result, movers, t, (row, column), mover),
            self.place: (t, row, column),
            self.said: f"**{number} is marked as moving.**" if mover else "**This counts as standing still.**",
            self.call: gr.update(value=STILL if mover else MOVING, visible=True),
        }

    def _call(self, place: Place | None, moment: float, request: gr.Request) -> Iterator[dict]:
        """The opposite of what was said of the place; the picture follows as soon as there is another result."""
        page = str(request.session_hash)
        session = self._stored(page)
        if place is None or session is None:
            raise gr.Error("Tap something in the picture first.", print_exception=False)
        moving = not mover_at(session.movers()[place[0]], *place[1:])
        try:
            started = self._change(_edit(moving, place), page)
        except InputError as error:
            raise gr.Error(str(error), print_exception=False) from None
        self._clicked_in.discard(session)
        yield {self.said: "Changing the scene and the files ...", self.call: gr.update(visible=False), **started}
        while self._stored(page) is session and self._busy(page):
            time.sleep(jobs.TICK / 4)
        now = self._stored(page)
        if now in self._clicked_in:
            return
        if now is session:
            yield {self.said: "Nothing was changed; tap something else, or the middle of it."}
        else:
            yield {**self._show(moment, request), self.said: NOW.format("moves" if moving else "stands still")}

    def _again(self, clip: Any, request: gr.Request) -> dict:
        """Reconstruct the clip with what moves now as masks, by the same system with the same options."""
        page = str(request.session_hash)
        session = self._stored(page)
        result = session.result() if session else None
        if result is None:
            raise gr.Error("There is no result to start from; reconstruct a clip first.", print_exception=False)
        info = result.info
        if not clip or clip.problem or clip.n_frames != info.get("source_frames"):
            raise gr.Error(f"Choose the clip of this result ({info.get('source')}) again first.", print_exception=False)
        names = {name: card.name for card in systems() for name in (card.name, card.label)}
        options = Options(**{**info.get("options", {}), "sam2": False})  # which would redraw the masks

        scale = Like(result) if info.get("scale") else None

        def make(progress: jobs.Report) -> Iterator[Any]:
            name = names.get(info["system"], "auto")
            for found, note in compute.reconstruct(clip.source, name, options, result.dynamic, progress):
                yield (found if isinstance(found, Masked) or found.coarse else sized(found, scale)), note

        return self._run(make, page)

    def _frame(self, result, moment):
        return int(np.clip(int(moment or 1) - 1, 0, len(result.frames) - 1))


def _edit(moving: bool, place: tuple) -> Callable[[Reconstruction], Reconstruction]:
    call = call_moving if moving else call_still
    return partial(_called, call, place)


def _called(call, place, result):
    return call(result, *place)


def _marked(
    result: Reconstruction, movers: np.ndarray, t: int, click: tuple[int, int] | None = None, mover: int = 0
) -> np.ndarray:
    """Frame t with its movers as in the video; after a click (row, column) with a ring there and only the one meant."""
    shown = movers[t] * (movers[t] == mover) if mover else movers[t]
    picture = mark(result.frames[t], shown, int(movers.max()) > 1)
    if click is not None:
        size = max(4, round(max(shown.shape) / 60))
        for shade, thick in ((0, 3), (255, 1)):
            cv2.circle(picture, click[::-1], size, (shade,) * 3, thick, cv2.LINE_AA)
    return picture
