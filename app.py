"""The page: widgets and wiring. `python app.py` starts it; on Hugging Face the same file is the Space."""

import spaces  # noqa: F401 - first: on ZeroGPU it must come before anything that touches CUDA

# isort: split

import threading
import time
from pathlib import Path

import gradio as gr

import easi3r
from easi3r.export.glb import write_glb
from easi3r.export.scene import CUT
from easi3r.web import clips, compute, endpoint, jobs, texts
from easi3r.web.compare_tab import CompareTab, fetched, going_on
from easi3r.web.files import Examples
from easi3r.web.sessions import Session, Sessions

FOLDER = Path(__file__).parent / "examples"
EXAMPLES, SESSIONS = Examples(FOLDER), Sessions()
SHOW = [("Everything (4D)", "4d"), ("Only what stands still", "static"), ("Only what moves", "moving")]
STYLES = [("Surfaces", "surfaces"), ("Points", "points")]
WAITING = "<p>The player is being made; a few seconds.</p>"
TO_PROGRESS = """() => {
    const look = tries => {
        const status = document.querySelector('#status');
        if (status?.offsetParent) status.scrollIntoView();
        else if (tries) setTimeout(look, 300, tries - 1);
    };
    if (innerWidth <= 720) setTimeout(look, 800, 60);
}"""  # on a phone what a click starts is below the screen; a busy server takes seconds to begin
RESULT = "result"  # the tab of it
QUIET = {"show_progress": "hidden", "api_name": False}


def build_page() -> gr.Blocks:
    """The page with all its widgets and what they do."""
    gr.set_static_paths([FOLDER])  # shown as they are: the preview of an example
    page = Page()
    with gr.Blocks(title="Easi3R: video to 4D", delete_cache=(3600, 7200)) as blocks:
        gr.Markdown(texts.PAGE)
        with gr.Row():
            with gr.Column(scale=1, min_width=320):
                page.lay_out_inputs()
            with gr.Column(scale=2, min_width=320), gr.Tabs() as page.sides:
                with gr.Tab("Result", id=RESULT):
                    page.lay_out_results()
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


def looped(label, name):
    """A video of the result that plays by itself."""
    return gr.Video(label=label, elem_id=name, autoplay=True, loop=True, buttons=["download"])


class Page:
    """The widgets, and what happens to them. Functions return or yield what changes: widget -> value."""

    def __init__(self):
        self.compare = CompareTab(SESSIONS)

    def lay_out_inputs(self):
        """What the visitor gives."""
        self.clip = gr.State()  # `clips.Chosen`: stays with the server, so nobody can name a file of it
        with gr.Column(elem_id="clip"):
            self.drop = upload_box(label="Your clip: a video, or photos, or a zip of them")
            self.preview = gr.HTML(visible=False, elem_id="preview")
        self.plan = gr.Markdown(clips.CHOOSE, elem_id="plan")
        self.start = gr.Button("Reconstruct", variant="primary", elem_id="run")
        offered = clips.offer()
        self.offer = gr.Button(offered, visible=bool(offered), size="sm", elem_id="offer")
        with gr.Accordion("Settings", open=False, elem_id="settings"):
            label, count = "Frames used, spread over the whole clip", easi3r.Options.max_frames
            self.frames = gr.Slider(2, 96, count, step=1, label=label, elem_id="frames")
            self.system = gr.Dropdown(texts.menu(), value="auto", label="System", elem_id="system")
            label, middle = "Mask sensitivity: 0 marks only what surely moves", easi3r.Options.sensitivity
            self.sensitivity = gr.Slider(0, 1, middle, step=0.05, label=label, elem_id="sensitivity")
            label, usable, on = texts.sharper()
            self.sharper = gr.Checkbox(on, label=label, interactive=usable, elem_id="sharper")
            self.own_mask = upload_box(label="Your own mask (optional); white = moving", elem_id="own-mask")
        gr.Markdown("**Examples**, computed beforehand: click and look")
        given = {"components": [gr.Video(render=False)], "samples": [[str(path)] for path in EXAMPLES.clips]}
        self.examples = gr.Dataset(**given, type="tuple", show_label=False, elem_id="examples")

    def lay_out_results(self):
        """What the visitor gets."""
        with gr.Row():
            look = {"label": "Progress", "interactive": False, "max_lines": 1, "container": False, "scale": 4}
            self.status = gr.Textbox(visible=False, elem_id="status", min_width=320, **look)
            look = {"variant": "stop", "visible": False, "scale": 1, "min_width": 90}
            self.cancel = gr.Button("Cancel", elem_id="cancel", **look)
        label, quiet = "What comes out (an example)", {"interactive": False, "autoplay": True, "loop": True}
        self.teaser = gr.Video(str(FOLDER / "teaser.mp4"), label=label, elem_id="teaser", buttons=[], **quiet)
        with gr.Column(visible=False) as self.outputs:
            self.report = gr.Markdown(elem_id="report")
            with gr.Tabs():
                with gr.Tab("4D scene"):
                    self.lay_out_scene()
                with gr.Tab("Player"):
                    self.player = gr.HTML(elem_id="player")
                self.lay_out_pictures()
                with gr.Tab("Downloads"):
                    gr.Markdown(texts.FILES)
                    look = {"interactive": False, "variant": "primary"}
                    self.everything = gr.DownloadButton("Download everything (zip)", elem_id="everything", **look)
                    look = {"interactive": False, "file_count": "multiple"}
                    self.singly = gr.File(label="Single files", elem_id="files", **look)

    def lay_out_scene(self):
        """The 3D view and its four controls."""
        label, dark = "Drag to turn, scroll or pinch to zoom", (0.08, 0.09, 0.11, 1)
        self.model = gr.Model3D(label=label, elem_id="model", height=460, clear_color=dark)
        with gr.Row():
            self.show = gr.Radio(SHOW, value="4d", label="Show", elem_id="show", scale=2, min_width=280)
            self.style = gr.Radio(STYLES, value="surfaces", label="As", elem_id="style", min_width=200)
        with gr.Row():
            label = "Freeze a moment (0 = play)"
            self.moment = gr.Slider(0, 24, 0, step=1, label=label, elem_id="moment", min_width=280)
            label = "Leave out unsure points"
            self.cut = gr.Slider(0, 0.9, CUT, step=0.05, label=label, elem_id="cut", min_width=280)

    def lay_out_pictures(self):
        """Tabs with videos and images; `pictures` widget -> file of the result."""
        self.tabs, self.pictures = [], {}
        named = {
            "Video": {"orbit": "The scene as a video"},
            "What moves": {"masks": "What moves"},
            "Depth": {"depth": "Depth: red is near, blue is far", "confidence": "How sure: yellow is sure"},
            "Camera path": {"path": "From above"},
            "Look inside": {"inside": "How the moving pixels were found"},
        }
        for title, shown in named.items():
            with gr.Tab(title) as tab:
                self.tabs.append(tab)
                for name, label in shown.items():
                    if name == "path":
                        buttons = ["download", "fullscreen"]
                        self.pictures[gr.Image(label=label, elem_id=name, interactive=False, buttons=buttons)] = (
                            "path.png"
                        )
                    else:
                        self.pictures[looped(label, name)] = f"{name}.mp4"

    def wire(self, blocks):
        """Events."""
        chosen = [self.frames, self.system, self.sharper]
        shown = [self.clip, self.preview, self.plan]
        changes = [self.frames.release, self.system.change, self.sharper.change, blocks.load]
        gr.on(changes, clips.plan, [self.clip, *chosen], self.plan, **QUIET)
        self.drop.upload(self.upload, [self.drop, *chosen], [self.drop, *shown], **QUIET)
        self.examples.click(self.choose_example, [self.examples, *chosen], shown, **QUIET)
        # first: events of a button wait for each other
        gr.on([self.start.click, self.examples.click], None, js=TO_PROGRESS, **QUIET)
        results = [self.status, self.outputs, self.cancel, self.teaser, self.report, self.model, self.show, self.moment]
        results += [self.player, *self.pictures, self.everything, self.singly, self.sides]
        given = [self.clip, *chosen, self.sensitivity, self.own_mask, self.cut, self.style]
        work = self.start.click(self.run, given, results, concurrency_limit=2, **QUIET)
        ready = self.examples.click(self.show_example, self.examples, results, concurrency_limit=4, **QUIET)
        state = [self.status, self.cancel]
        fetch = self.offer.click(self.fetch, None, [*state, self.offer], concurrency_limit=1, **QUIET)
        fetch.then(clips.plan, [self.clip, *chosen], self.plan, **QUIET)
        stopped = self.cancel.click(self.cancelled, None, state, cancels=[work, ready, fetch], queue=False, **QUIET)
        # progress may still have been on its way
        stopped.then(lambda: time.sleep(0.5), **QUIET).then(self.cancelled, None, state, **QUIET)
        view = [self.show, self.moment, self.cut, self.style]
        changes = [self.show.input, self.moment.release, self.cut.release, self.style.input]
        gr.on(changes, self.change_view, view, self.model, trigger_mode="always_last", **QUIET)
        for tab in self.tabs:
            tab.select(self.show_pictures, None, list(self.pictures), **QUIET)
        self.compare.wire(blocks, self.plan, [self.clip, self.frames, self.sharper, self.own_mask], self.sensitivity)
        blocks.unload(self.forget)

    # ---- the clip

    def upload(self, files, frames, system, sharper):
        """Files were dropped or chosen: show what they are. The box is emptied for the next ones."""
        return {self.drop: None, **self._take(clips.choose(files), frames, system, sharper)}

    def choose_example(self, clicked, frames, system, sharper):
        """An example was clicked; clicked: (number, sample) of gradio's Dataset."""
        return self._take(clips.choose([EXAMPLES.clips[clicked[0]]]), frames, system, sharper)

    def _take(self, taken, frames, system, sharper):
        shown = gr.HTML(clips.preview(taken), visible=not taken.problem)
        return {self.clip: taken, self.preview: shown, self.plan: clips.plan(taken, frames, system, sharper)}

    # ---- runs

    def run(self, clip, frames, system, sharper, sensitivity, own_mask, cut, style, request: gr.Request):
        """Reconstruct and show; yields what changes on the page."""
        if not clip:
            raise gr.Error("Choose a clip first, or one of the examples.", print_exception=False)
        if clip.problem:
            raise gr.Error(clip.problem, duration=None, print_exception=False)
        options = easi3r.Options(max_frames=int(frames), sensitivity=sensitivity, sam2=bool(sharper))

        def make(progress):
            masks = clips.source_of(own_mask) if own_mask else None
            result, used = compute.reconstruct(clip.source, system, options, masks, progress)
            return result, used.note

        yield from self._produce(make, cut, style, request.session_hash)

    def show_example(self, clicked, request: gr.Request):
        """The result computed beforehand; no GPU and no waiting. clicked: as of `choose_example`."""
        clip = EXAMPLES.clips[clicked[0]]
        ready = EXAMPLES.prepared(clip)
        if ready is None:
            make = lambda progress: (EXAMPLES.load(clip), texts.COMPUTED)
            yield from self._produce(make, CUT, "surfaces", request.session_hash)
            return
        scene, files, session = ready
        SESSIONS.keep(request.session_hash, session)
        shown, hidden = gr.update(visible=True), gr.update(visible=False)
        begun = {self.status: gr.update(value="", visible=True), self.sides: gr.Tabs(selected=RESULT)}
        yield {**begun, self.outputs: shown, self.teaser: hidden}
        yield self._scene(jobs.SceneReady(*scene, texts.COMPUTED))
        time.sleep(0.5)  # gradio drops a 3D viewer that is still being fetched when the next update comes
        yield self._files(jobs.FilesReady(*files))
        yield {self.status: "done"}

    def _produce(self, make, cut, style, visitor):
        """Run `make(progress)` -> (result, note) in a thread and show what there is to see; yields updates."""
        session, finished = Session(), False
        steps = jobs.reconstruction(make, session, cut, style)
        job = jobs.Job(steps, known=(gr.Error,))  # ZeroGPU's: no GPU free, the day's share used up
        shown, hidden = gr.update(visible=True), gr.update(visible=False)
        try:
            begun = {self.status: gr.update(value="Starting", visible=True), self.sides: gr.Tabs(selected=RESULT)}
            yield {**begun, self.outputs: shown, self.cancel: shown, self.teaser: hidden}
            for event in job.events():
                match event:
                    case jobs.Tick() | jobs.Progress() | jobs.Failed():
                        yield from going_on(event, self.status, self.cancel)
                    case jobs.SceneReady():
                        SESSIONS.keep(visitor, session)
                        yield self._scene(event)
                    case jobs.FilesReady():
                        finished, session.files = True, event.files
                        yield self._files(event)
                        yield {self.cancel: hidden, self.status: "done"}
        finally:
            job.cancel()
            if not finished:  # not waited for here: gradio closes generators in the thread that serves everybody
                job.then(lambda: SESSIONS.drop(visitor, session))

    def fetch(self):
        """Fetch what the page offers; "auto" is that from then on."""
        after = {self.status: "Fetched: clips get real depth from now on.", self.offer: gr.update(visible=False)}
        yield from fetched(clips.OFFERED, self.status, self.cancel, after)

    def cancelled(self):
        """Cancel was pressed."""
        return {self.status: "Cancelled.", self.cancel: gr.update(visible=False)}

    # ---- results

    def _scene(self, ready):
        return {
            self.report: texts.made_with(ready.info, ready.note),
            self.model: gr.Model3D(value=str(ready.view.path), camera_position=ready.view.camera_position),
            self.show: "4d",
            self.moment: gr.Slider(value=0, maximum=ready.n_frames),
            self.player: WAITING,
            self.everything: gr.DownloadButton(interactive=False),
        }

    def _files(self, ready):
        return {
            self.player: texts.embedded(ready.files["player.html"]),
            **{widget: ready.files[name] for widget, name in self.pictures.items()},
            self.singly: [path for path in ready.files.values() if Path(path).is_file()],
            self.everything: gr.DownloadButton(value=ready.archive, interactive=True),
        }

    def change_view(self, show, moment, cut, style, request: gr.Request):
        """Another view of the stored result; nothing is computed again."""
        session = SESSIONS.get(request.session_hash)
        result = session and session.result()
        if not result:
            return gr.skip()
        at = None if not moment else min(int(moment), len(result.frames)) - 1
        view = write_glb(result, session.folder / "view.glb", show, at, cut, "babylon", style == "points")
        return gr.Model3D(value=view.path, camera_position=view.camera_position)

    def show_pictures(self, request: gr.Request):
        """Videos and images of the stored result: gradio loses what comes for a closed tab; opening it asks again."""
        session = SESSIONS.get(request.session_hash)
        files = session.files if session else {}
        return {widget: files.get(name, gr.skip()) for widget, name in self.pictures.items()}

    def forget(self, request: gr.Request):
        """The page was closed."""
        SESSIONS.keep(request.session_hash, None)
        self.compare.forget(request.session_hash)


demo = build_page()


def launch(**kwargs):
    """Start the server; keyword arguments go to gradio's `launch`."""
    return demo.queue(max_size=20).launch(max_file_size="500mb", css=texts.CSS, **kwargs)


if __name__ == "__main__":
    threading.Thread(target=EXAMPLES.prepare, daemon=True).start()
    launch()
