"""The page: widgets and wiring. `python app.py` starts it; on Hugging Face the same file is the Space."""

import spaces  # noqa: F401 - first: on ZeroGPU it must come before anything that touches CUDA

# isort: split

import os
import sys
import threading
from pathlib import Path

import gradio as gr

import easi3r
from easi3r.web import clips, compute, endpoint, looks, texts
from easi3r.web.compare_tab import QUIET, CompareTab, fetched
from easi3r.web.files import Examples
from easi3r.web.result_tab import ResultTab
from easi3r.web.sessions import Sessions
from easi3r.web.visitors import Visitors

# Seconds after which a thread gives way to one that waits, a tenth of the usual: the server's threads and those that
# compute hold each other up else. All files of `street` beside a browser in 62 s instead of 69, each the mean of four.
sys.setswitchinterval(0.0005)
# After every event gradio sums up all there have been, for a page of statistics that is not looked at: 10 ms of a new
# server, 44 of one that has answered 10,000.
os.environ.setdefault("GRADIO_ANALYTICS_CACHE_FREQUENCY", str(10**9))
FOLDER = Path(__file__).parent / "examples"
EXAMPLES, SESSIONS = Examples(FOLDER), Sessions()
VISITORS = Visitors(forget=lambda visitor: SESSIONS.keep(visitor, None))
TO_PROGRESS = """() => {
    document.querySelector("#sides [role=tab]").click();  // of the result
    const look = (tries, at) => {
        const status = document.querySelector('#status'), seen = status?.offsetParent;
        if (seen && (at ?? scrollY) !== scrollY) return;  // the visitor has scrolled
        if (seen) status.scrollIntoView();  // again, as what is above may still grow
        if (tries) setTimeout(look, 300, seen && at === undefined ? 10 : tries - 1, seen ? scrollY : undefined);
    };
    if (innerWidth <= 720 || innerHeight <= 500) setTimeout(look, 800, 60);
}"""  # on a phone what a click starts is below the screen; a busy server takes seconds to begin
KNOWN = """(_, ...chosen) => {
    const name = "easi3r-visitor";
    if (!sessionStorage.getItem(name)) sessionStorage.setItem(name, crypto.randomUUID?.() ?? String(Math.random()));
    return [sessionStorage.getItem(name), ...chosen];
}"""  # of a browser tab, also when it is loaded again


def build_page() -> gr.Blocks:
    """The page with all its widgets and what they do."""
    gr.set_static_paths([FOLDER])  # shown as they are: the preview of an example
    page = Page()
    with gr.Blocks(title="Easi3R: video to 4D", delete_cache=(3600, 7200)) as blocks:
        gr.Markdown(texts.PAGE)
        with gr.Row(elem_id="columns"):
            with gr.Column(scale=1, min_width=320):
                page.lay_out_inputs()
            with gr.Column(scale=2, min_width=320), gr.Tabs(overflow_behavior="wrap", elem_id="sides"):
                with gr.Tab("Result"):
                    page.result.lay_out(FOLDER / "teaser.mp4")
                with gr.Tab("Compare"):
                    page.compare.lay_out()
        gr.Markdown(texts.FOOT)
        page.wire(blocks)
        gr.api(endpoint.reconstruct_clip, api_name="reconstruct", concurrency_limit=1)
    return blocks


def upload_box(**settings):
    """gr.File for several files. No list of kinds: the browser would drop, without a word, what is not in it."""
    box = gr.File(file_count="multiple", height=150, **settings)
    box.preprocess = lambda payload: payload and [file.path for file in payload]  # gradio's leaves an empty file
    return box


def planned(clip, frames, every, system, sharper):
    """See `clips.plan`."""
    return clips.plan(clip, 0 if every else frames, system, sharper)


class Page:
    """The widgets, and what happens to them. Functions return or yield what changes: widget -> value."""

    def __init__(self):
        self.compare = CompareTab(SESSIONS)
        self.result = ResultTab(SESSIONS, VISITORS)

    def lay_out_inputs(self):
        """What the visitor gives."""
        self.visitor = gr.Textbox(visible=False)
        self.poke = gr.Button(visible="hidden", elem_id="poke")  # see page.js
        self.clip = gr.State()  # `clips.Chosen`: stays with the server, so nobody can name a file of it
        with gr.Column(elem_id="clip"):
            self.drop = upload_box(label="Your clip: a video, or photos, or a zip of them")
            self.preview = gr.HTML(visible=False, elem_id="preview")
        self.plan = gr.Markdown(clips.CHOOSE, elem_id="plan")
        self.start = gr.Button("Reconstruct the 4D scene", variant="primary", elem_id="run")
        offered = clips.offer()
        self.offer = gr.Button(offered, visible=bool(offered), size="sm", elem_id="offer")
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            label, count = "Frames used, spread over the whole clip", easi3r.Options.max_frames
            self.frames = gr.Slider(2, 300, count, step=1, label=label, elem_id="frames")
            self.every = gr.Checkbox(False, label="Every frame of the clip, however long it is", elem_id="every")
            self.system = gr.Dropdown(texts.menu(), value="auto", label="System", elem_id="system")
            label, middle = "Mask sensitivity: 0 marks only what surely moves", easi3r.Options.sensitivity
            self.sensitivity = gr.Slider(0, 1, middle, step=0.05, label=label, elem_id="sensitivity")
            label, usable, on = texts.sharper()
            self.sharper = gr.Checkbox(on, label=label, interactive=usable, elem_id="sharper")
            self.own_mask = upload_box(label="Your own mask (optional); white = moving", elem_id="own-mask")
        gr.Markdown("**Examples**, rendered and computed beforehand: click and look")
        given = {"components": [gr.Video(render=False)], "samples": [[str(path)] for path in EXAMPLES.clips]}
        self.examples = gr.Dataset(**given, type="tuple", show_label=False, elem_id="examples")

    def wire(self, blocks):
        """Events."""
        chosen = [self.frames, self.every, self.system, self.sharper]
        shown = [self.clip, self.preview, self.plan]
        changes = [self.frames.release, self.every.change, self.system.change, self.sharper.change]
        gr.on(changes, planned, [self.clip, *chosen], self.plan, **QUIET)
        self.drop.upload(self.upload, [self.drop, *chosen], [self.drop, *shown], **QUIET)
        self.examples.click(self.choose_example, [self.examples, *chosen], shown, **QUIET)
        # first: events of a button wait for each other
        gr.on([self.start.click, self.examples.click], None, js=TO_PROGRESS, **QUIET)
        result = self.result
        given = [self.clip, *chosen, self.sensitivity, self.own_mask]
        self.start.click(self.run, given, result.going, **QUIET)
        self.examples.click(self.show_example, self.examples, result.all, concurrency_limit=4, **QUIET)
        came = blocks.load(self.came, [self.visitor, *chosen], [*result.all, *shown], js=KNOWN, **QUIET)
        came.then(None, result.going, None, js=f"going => going && ({TO_PROGRESS})()", **QUIET)
        fetch = self.offer.click(self.fetch, None, [*result.state, self.offer], concurrency_limit=1, **QUIET)
        fetch.then(planned, [self.clip, *chosen], self.plan, **QUIET)
        result.wire(blocks, self.clip)
        result.cancel.click(result.cancelled, None, result.state, cancels=fetch, queue=False, **QUIET)
        self.compare.wire(blocks, self.plan, [self.clip, self.frames, self.sharper, self.own_mask], self.sensitivity)
        self.poke.click(lambda: None, concurrency_limit=None, **QUIET)
        blocks.unload(self.forget)

    # ---- the clip

    def upload(self, files, request: gr.Request, *chosen):
        """Files were dropped or chosen: show what they are. The box is emptied for the next ones."""
        return {self.drop: None, **self._take(clips.choose(files), request, *chosen)}

    def choose_example(self, clicked, request: gr.Request, *chosen):
        """An example was clicked; clicked: (number, sample) of gradio's Dataset."""
        return self._take(clips.choose([EXAMPLES.clips[clicked[0]]]), request, *chosen)

    def _take(self, taken, request, *chosen):
        VISITORS.chose(VISITORS.of(request.session_hash), taken)
        return {**self._shown(taken), self.plan: planned(taken, *chosen)}

    def _shown(self, taken):
        return {self.clip: taken, self.preview: gr.HTML(clips.preview(taken), visible=not taken.problem)}

    # ---- runs

    def run(self, clip, frames, every, system, sharper, sensitivity, own_mask, request: gr.Request):
        """Reconstruct and show."""
        if not clip:
            raise gr.Error("Choose a clip first, or one of the examples.", print_exception=False)
        if clip.problem:
            raise gr.Error(clip.problem, duration=None, print_exception=False)
        options = easi3r.Options(max_frames=0 if every else int(frames), sensitivity=sensitivity, sam2=bool(sharper))

        def make(progress):
            masks = clips.source_of(own_mask) if own_mask else None
            yield from compute.reconstruct(clip.source, system, options, masks, progress)

        return self.result.run(make, request.session_hash)

    def show_example(self, clicked, request: gr.Request):
        """The result computed beforehand; no GPU and no waiting. clicked: as of `choose_example`."""
        clip = EXAMPLES.clips[clicked[0]]
        ready = EXAMPLES.prepared(clip, texts.COMPUTED)
        if ready is None:
            make = lambda progress: iter([(EXAMPLES.load(clip), texts.COMPUTED)])
            return self.result.run(make, request.session_hash)
        return self.result.example(ready, request.session_hash)

    def came(self, visitor, request: gr.Request, *chosen):
        """The page is loaded, perhaps again; visitor: the name that their browser tab keeps."""
        shown = self.result.came(request.session_hash, visitor or request.session_hash)
        clip = VISITORS.clip(VISITORS.of(request.session_hash))
        return {**shown, **({**self._shown(clip), self.plan: planned(clip, *chosen)} if clip else {})}

    def fetch(self):
        """Fetch what the page offers; "auto" is that from then on."""
        status, cancel = self.result.state
        after = {status: "Fetched: clips get real depth from now on.", self.offer: gr.update(visible=False)}
        yield from fetched(clips.OFFERED, status, cancel, after)

    def forget(self, request: gr.Request):
        """The page was closed, or is being loaded again."""
        VISITORS.left(request.session_hash)
        self.compare.forget(request.session_hash)


demo = build_page()


def launch(**kwargs):
    """Start the server; keyword arguments go to gradio's `launch`."""
    demo.queue(max_size=20)
    # Seconds between two looks for something to do: with gradio's .001 it takes a tenth of a core and, hundreds of
    # times a second, the interpreter lock from a run.
    demo._queue.sleep_when_free = 0.03
    return demo.launch(max_file_size="500mb", theme=looks.THEME, css=looks.CSS, js=looks.SCRIPT, **kwargs)


if __name__ == "__main__":
    threading.Thread(target=EXAMPLES.prepare, args=[VISITORS.wait_until_idle], daemon=True).start()
    launch()
