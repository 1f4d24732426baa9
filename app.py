"""The page: widgets and wiring. `python app.py` starts it; on Hugging Face the same file is the Space."""

import spaces  # noqa: F401 - first: on ZeroGPU it must come before anything that touches CUDA

# isort: split

import contextvars
import html
import queue
import shutil
import tempfile
import threading
import time
from pathlib import Path

import gradio as gr

import easi3r
from easi3r import chosen, endpoint, gpu, serving
from easi3r.export.archive import ARCHIVE
from easi3r.export.glb import write_glb

HERE = Path(__file__).parent
EXAMPLES = sorted(p for p in (HERE / "examples").glob("*.mp4") if p.with_suffix(".result.npz").exists())
BACKBONES = [
    ("Automatic: the best that can run here", "auto"),
    ("Preview: no weights, runs anywhere, rough depth", "preview"),
    ("DUSt3R (weights CC BY-NC-SA 4.0: not for commercial use)", "dust3r"),
    ("MonST3R (weights CC BY-NC-SA 4.0: not for commercial use)", "monst3r"),
]
SHOW = [("Everything (4D)", "4d"), ("Only what stands still", "static"), ("Only what moves", "moving")]
PAGE = """# See your video in 3D over time
Drop in a clip. You get the camera's path, what moves in it, and a 4D scene to turn around: the still world solid,
the moving people and animals playing on top. Nothing to install, nothing to sign up for."""
FOOT = """Method: [Easi3R](https://arxiv.org/abs/2503.24391) (Chen et al., 2025), written anew under the MIT licence.
The *weights* of DUSt3R and MonST3R are CC BY-NC-SA 4.0, for non-commercial use only; the preview needs none. The scale
of every result is arbitrary: a video alone does not tell metres from miles."""
FILES = """**Everything in one zip**, with a README.txt that says how each file opens: the player, the scene for
Blender, COLMAP and nerfstudio datasets, depth and mask images, point clouds, arrays. Or singly, below (what is a folder
comes in the zip only)."""

CSS = """
#preview :is(video, img) {
    display: block; width: 100%; max-height: 260px; object-fit: contain; border-radius: 8px; background: #000;
}
#preview figcaption { padding-top: 6px; font-size: var(--text-sm); }
#path, #inside { padding-top: 40px; } /* keeps the label and the buttons off their headings */
#path .icon-button-wrapper { top: -40px; }
#inside video { max-height: 80vh; }
#player iframe { width: 100%; height: min(78vh, 620px); border: 0; border-radius: 8px; }
#player .html-container, #preview .html-container { padding: 0; }
#files button[aria-label="Remove this file"] { display: none; }
@media (max-width: 720px) { /* a phone: one column */
    #model { height: 320px !important; }
    .icon-button-wrapper button, .overflow-menu > button { min-width: 36px; min-height: 36px; }
    input[type=range] { height: 32px; }
}
"""
TO_PROGRESS = """() => { setTimeout(() => {
    if (innerWidth <= 720) document.querySelector('#status')?.scrollIntoView();
}, 800); }"""  # on a phone what a click starts is below the screen


def upload_box(**settings):
    """gr.File for several files. No list of kinds: the browser would drop, without a word, what is not in it, and our
    reader says best what it takes."""
    box = gr.File(file_count="multiple", **settings)
    box.preprocess = lambda payload: (
        payload and [file.path for file in payload]
    )  # gradio's leaves an empty file each time
    return box


class Cancelled(Exception):
    """The visitor left or pressed Cancel."""


# ---- events


def upload(files, frames, name):
    """Files were dropped or chosen: show what they are. The box is emptied for the next ones."""
    return {drop: None, **_take(chosen.choose(files), frames, name)}


def choose_example(clicked, frames, name):
    return _take(chosen.choose([EXAMPLES[clicked[0]]]), frames, name)


def _take(taken, frames, name):
    shown = gr.HTML(chosen.preview(taken), visible=not taken.problem)
    return {clip: taken, preview: shown, planned: chosen.plan(taken, frames, name)}


def forget(request: gr.Request):
    """The page was closed."""
    serving.keep(request.session_hash, None)


def cancelled():
    return {status: "Cancelled.", cancel: gr.update(visible=False)}


def run(clip, frames, name, sensitivity, mask_files, cut, style, request: gr.Request):
    """Reconstruct and show; yields what changes on the page."""
    if not clip:
        raise gr.Error("Choose a clip first, or one of the examples.", print_exception=False)
    if clip.problem:
        raise gr.Error(clip.problem, duration=None, print_exception=False)
    options = easi3r.Options(max_frames=int(frames), sensitivity=sensitivity)

    def make(progress):
        masks = chosen.source_of(mask_files) if mask_files else None
        return gpu.reconstruct(clip.source, name, options, masks, progress)

    yield from _produce(make, cut, style, request.session_hash)


def show_example(clicked, request: gr.Request):
    """The result computed beforehand; no GPU and no waiting. clicked: (number, sample) of gradio's Examples."""
    path = EXAMPLES[clicked[0]]
    ready = serving.prepared.get(path)
    if ready is None:
        yield from _produce(lambda progress: serving.load_example(path), serving.CUT, "surfaces", request.session_hash)
        return
    scene, files, prepared = ready
    folder = Path(tempfile.mkdtemp(prefix="easi3r-"))
    shutil.copy(prepared / ARCHIVE, folder)  # a copy: the visitor's page deletes its own
    serving.keep(request.session_hash, folder)
    serving.files_of[request.session_hash] = files[0]
    yield {
        status: gr.update(value="", visible=True),
        outputs: gr.update(visible=True),
        teaser: gr.update(visible=False),
    }
    yield _show_scene(*scene)
    time.sleep(0.5)  # gradio drops a 3D viewer that is still being fetched when the next update comes
    yield _show_files(*files)
    yield {status: "done"}


def _produce(make, cut, style, visitor):
    """Run `make(progress)` -> (result, note) in a thread and show what there is to see; yields updates."""
    folder = Path(tempfile.mkdtemp(prefix="easi3r-"))
    news, stop, finished = queue.Queue(), threading.Event(), False
    context = contextvars.copy_context()  # says who asks: ZeroGPU lends to a visitor, not to a thread
    worker = threading.Thread(target=context.run, args=(_work, make, cut, style, folder, news, stop), daemon=True)
    worker.start()
    try:
        yield {
            status: gr.update(value="Starting", visible=True),
            outputs: gr.update(visible=True),
            cancel: gr.update(visible=True),
            teaser: gr.update(visible=False),
        }
        while True:
            try:
                kind, value = news.get(timeout=0.4)
            except queue.Empty:
                yield {status: gr.update()}  # a run can be cancelled only between yields
                continue
            if kind == "progress":
                while not news.empty() and news.queue[0][0] == "progress":
                    kind, value = news.get()
                yield {status: f"{value[0]:4.0%}  {value[1]}"}
            elif kind == "scene":
                serving.keep(visitor, folder)
                yield _show_scene(*value)
            elif kind == "files":
                finished = True
                serving.files_of[visitor] = value[0]
                yield _show_files(*value)
                yield {cancel: gr.update(visible=False), status: "done"}
                return
            else:
                yield {status: gr.update(value="", visible=False), cancel: gr.update(visible=False)}
                raise gr.Error(value, duration=None, print_exception=False)
    finally:
        stop.set()
        if not finished:  # not waited for here: gradio closes generators in the thread that serves everybody
            threading.Thread(target=_clear_up, args=(worker, visitor, folder), daemon=True).start()


def _clear_up(worker, visitor, folder):
    worker.join()
    serving.drop(visitor, folder)


def _work(make, cut, style, folder, news, stop):
    """In a thread of its own: compute and write the files."""

    def progress(fraction, text):
        if stop.is_set():
            raise Cancelled
        news.put(("progress", (0.9 * fraction, text)))

    try:
        progress(0, "Loading")
        result, note = make(progress)
        progress(1, "Building the scene")
        news.put(("scene", serving.write_scene(result, folder, cut, style, note)))
        progress(1.05, "Making the player, the videos and the downloads")
        news.put(("files", serving.write_files(result, folder)))
    except Cancelled:
        news.put(("error", "Cancelled."))
    except easi3r.InputError as error:
        news.put(("error", str(error)))
    except gr.Error as error:  # ZeroGPU's own: no GPU free, the visitor's share for the day used up
        news.put(("error", error.message))
    except Exception:  # a bug: the visitor gets a sentence, the server's log gets the trace
        news.put(("error", "Something went wrong on our side; please try another clip or fewer frames."))
        raise


def _show_scene(info, n_frames, view, note):
    seconds = sum(info["seconds"].values())
    made = (
        f"Made with **{info['backbone']['name']}** from {info['frames']} frames and {info['pairs']} pairs "
        f"in {seconds:.0f} s. Scale is arbitrary."
    )
    mind = (
        "\n".join(["⚠️ **Mind when you look at it:**", "", *(f"- {w}" for w in info["warnings"])])
        if info["warnings"]
        else ""
    )
    waiting = "<p>The player is being made; a few seconds.</p>"
    return {
        report: "\n\n".join(filter(None, [made, mind, note])),
        model: gr.Model3D(value=str(view.path), camera_position=view.camera_position),
        show: "4d",
        moment: gr.Slider(value=0, maximum=n_frames),
        player: waiting,
        everything: gr.DownloadButton(interactive=False),
    }


def _show_files(files, archive):
    return {
        player: _embedded(files["player.html"]),
        **{component: files[file] for component, file in PICTURES.items()},
        singly: [path for path in files.values() if Path(path).is_file()],
        everything: gr.DownloadButton(value=archive, interactive=True),
    }


def _embedded(path):
    text = html.escape(Path(path).read_text(encoding="utf-8"))
    return f'<iframe title="4D player" allow="fullscreen" srcdoc="{text}"></iframe>'


def change_view(show, moment, cut, style, request: gr.Request):
    """Another view of the stored result; nothing is computed again."""
    folder = serving.folders.get(request.session_hash)
    if folder is None or not (folder / ARCHIVE).exists():
        return gr.skip()
    result = serving.stored(folder / ARCHIVE)
    at = None if not moment else min(int(moment), len(result.frames)) - 1
    view = write_glb(result, folder / "view.glb", show, at, cut, "babylon", style == "points")
    return gr.Model3D(value=view.path, camera_position=view.camera_position)


def pictures(request: gr.Request):
    """Videos and images of the stored result: gradio loses what comes for a tab that is closed, so opening it asks
    again.
    """
    files = serving.files_of.get(request.session_hash, {})
    return {component: files.get(file, gr.skip()) for component, file in PICTURES.items()}


# ---- the page


gr.set_static_paths([HERE / "examples"])  # shown as they are: the preview of an example
with gr.Blocks(title="Easi3R: video to 4D", delete_cache=(3600, 7200)) as demo:
    gr.Markdown(PAGE)
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            clip = gr.State()  # `chosen.Chosen`: stays with the server, so nobody can name a file of it
            with gr.Column(elem_id="clip"):
                drop = upload_box(label="Your clip: a video, or photos, or a zip of them", height=150)
                preview = gr.HTML(visible=False, elem_id="preview")
            planned = gr.Markdown(chosen.CHOOSE, elem_id="plan")
            start = gr.Button("Reconstruct", variant="primary", elem_id="run")
            with gr.Accordion("Settings", open=False, elem_id="settings"):
                frames = gr.Slider(
                    2,
                    96,
                    easi3r.Options.max_frames,
                    step=1,
                    label="Frames used, spread over the whole clip",
                    elem_id="frames",
                )
                name = gr.Dropdown(BACKBONES, value="auto", label="Backbone", elem_id="backbone")
                sensitivity = gr.Slider(
                    0,
                    1,
                    easi3r.Options.sensitivity,
                    step=0.05,
                    label="Mask sensitivity: 0 marks only what surely moves",
                    elem_id="sensitivity",
                )
                mask_files = upload_box(
                    label="Your own mask (optional); white = moving",
                    elem_id="own-mask",
                    height=150,
                )
            gr.Markdown("**Examples**, computed beforehand: click and look")
            examples = gr.Dataset(
                components=[gr.Video(render=False)],
                samples=[[str(e)] for e in EXAMPLES],
                type="tuple",
                show_label=False,
                elem_id="examples",
            )
        with gr.Column(scale=2, min_width=320):
            with gr.Row():
                status = gr.Textbox(
                    label="Progress",
                    visible=False,
                    interactive=False,
                    elem_id="status",
                    max_lines=1,
                    container=False,
                    scale=4,
                    min_width=320,
                )
                cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel", scale=1, min_width=90)
            teaser = gr.Video(
                str(HERE / "examples" / "teaser.mp4"),
                label="What comes out (an example)",
                elem_id="teaser",
                interactive=False,
                autoplay=True,
                loop=True,
                buttons=[],
            )
            with gr.Column(visible=False) as outputs:
                report = gr.Markdown(elem_id="report")
                with gr.Tabs():
                    with gr.Tab("4D scene"):
                        model = gr.Model3D(
                            label="Drag to turn, scroll or pinch to zoom",
                            elem_id="model",
                            height=460,
                            clear_color=(0.08, 0.09, 0.11, 1),
                        )
                        with gr.Row():
                            show = gr.Radio(SHOW, value="4d", label="Show", elem_id="show", scale=2, min_width=280)
                            style = gr.Radio(
                                [("Surfaces", "surfaces"), ("Points", "points")],
                                value="surfaces",
                                label="As",
                                elem_id="style",
                                min_width=200,
                            )
                        with gr.Row():
                            moment = gr.Slider(
                                0, 24, 0, step=1, label="Freeze a moment (0 = play)", elem_id="moment", min_width=280
                            )
                            cut = gr.Slider(
                                0,
                                0.9,
                                serving.CUT,
                                step=0.05,
                                label="Leave out unsure points",
                                elem_id="cut",
                                min_width=280,
                            )
                    with gr.Tab("Player"):
                        player = gr.HTML(elem_id="player")
                    with gr.Tab("Video") as video_tab:
                        orbit = gr.Video(
                            label="The scene as a video",
                            elem_id="orbit",
                            autoplay=True,
                            loop=True,
                            buttons=["download"],
                        )
                    with gr.Tab("What moves") as moves_tab:
                        masks = gr.Video(
                            label="What moves", elem_id="masks", autoplay=True, loop=True, buttons=["download"]
                        )
                    with gr.Tab("Depth") as depth_tab:
                        depth = gr.Video(
                            label="Depth: red is near, blue is far",
                            elem_id="depth",
                            autoplay=True,
                            loop=True,
                            buttons=["download"],
                        )
                        confidence = gr.Video(
                            label="How sure: yellow is sure",
                            elem_id="confidence",
                            autoplay=True,
                            loop=True,
                            buttons=["download"],
                        )
                    with gr.Tab("Camera path") as path_tab:
                        path_plot = gr.Image(
                            label="From above", elem_id="path", interactive=False, buttons=["download", "fullscreen"]
                        )
                    with gr.Tab("Look inside") as inside_tab:
                        inside = gr.Video(
                            label="How the moving pixels were found",
                            elem_id="inside",
                            autoplay=True,
                            loop=True,
                            buttons=["download"],
                        )
                    with gr.Tab("Downloads"):
                        gr.Markdown(FILES)
                        everything = gr.DownloadButton(
                            "Download everything (zip)", interactive=False, variant="primary", elem_id="everything"
                        )
                        singly = gr.File(
                            label="Single files", interactive=False, file_count="multiple", elem_id="files"
                        )
    gr.Markdown(FOOT)

    PICTURES = {
        orbit: "orbit.mp4",
        masks: "masks.mp4",
        depth: "depth.mp4",
        confidence: "confidence.mp4",
        path_plot: "path.png",
        inside: "inside.mp4",
    }
    results = [
        status,
        outputs,
        cancel,
        teaser,
        report,
        model,
        show,
        moment,
        player,
        orbit,
        masks,
        depth,
        confidence,
        path_plot,
        inside,
        everything,
        singly,
    ]
    quiet = {"show_progress": "hidden", "api_name": False}
    gr.on([frames.release, name.change, demo.load], chosen.plan, [clip, frames, name], planned, **quiet)
    drop.upload(upload, [drop, frames, name], [drop, clip, preview, planned], **quiet)
    examples.click(choose_example, [examples, frames, name], [clip, preview, planned], **quiet)
    gr.on([start.click, examples.click], None, js=TO_PROGRESS, **quiet)  # first: events of a button wait for each other
    work = start.click(
        run, [clip, frames, name, sensitivity, mask_files, cut, style], results, concurrency_limit=2, **quiet
    )
    shown = examples.click(show_example, examples, results, concurrency_limit=4, **quiet)
    stopped = cancel.click(cancelled, None, [status, cancel], cancels=[work, shown], queue=False, **quiet)
    stopped.then(lambda: time.sleep(0.5), **quiet).then(
        cancelled, None, [status, cancel], **quiet
    )  # progress may still have been on its way
    view = [show, moment, cut, style]
    gr.on(
        [show.input, moment.release, cut.release, style.input],
        change_view,
        view,
        model,
        trigger_mode="always_last",
        **quiet,
    )
    for tab in (video_tab, moves_tab, depth_tab, path_tab, inside_tab):
        tab.select(pictures, None, list(PICTURES), **quiet)
    demo.unload(forget)
    gr.api(endpoint.reconstruct_clip, api_name="reconstruct", concurrency_limit=1)


def launch(**kwargs):
    """Start the server; keyword arguments go to gradio's `launch`."""
    return demo.queue(max_size=20).launch(max_file_size="500mb", css=CSS, **kwargs)


if __name__ == "__main__":
    threading.Thread(target=serving.prepare_examples, args=(EXAMPLES,), daemon=True).start()
    launch()
