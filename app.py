"""The page: widgets and wiring. `python app.py` starts it; on Hugging Face the same file is the Space."""

import spaces  # first: on ZeroGPU it must come before anything that touches CUDA

import functools
import os
import queue
import shutil
import tempfile
import threading
import time
from pathlib import Path

import gradio as gr

import easi3r
from easi3r import pairs, video
from easi3r.export.glb import write_glb

HERE = Path(__file__).parent
EXAMPLES = sorted((HERE / "examples").glob("*.mp4"))
BACKBONES = [
    ("Automatic: DUSt3R where there is a GPU or its weights, else the preview", "auto"),
    ("Preview: no weights, runs anywhere, rough depth", "preview"),
    ("DUSt3R (weights CC BY-NC-SA 4.0: not for commercial use)", "dust3r"),
    ("MonST3R (weights CC BY-NC-SA 4.0: not for commercial use)", "monst3r"),
]
PAGE = """# See your video in 3D over time
Drop in a clip. You get the camera's path, what moves in it, and a 4D scene to turn around: the still world solid, the moving people and
animals playing on top. Nothing to install, nothing to sign up for."""
FOOT = """Method: [Easi3R](https://arxiv.org/abs/2503.24391) (Chen et al., 2025), written anew under the MIT licence. The *weights* of DUSt3R and
MonST3R are CC BY-NC-SA 4.0, for non-commercial use only; the preview needs none. The scale of every result is arbitrary: a video alone does not tell
metres from miles."""
_seconds_per_pair = {"preview": 0.18, "cpu": 20.0, "cuda": 0.05}  # rough, replaced by what the last run took


class Cancelled(Exception):
    """The visitor left or pressed Cancel."""


_loading = threading.Lock()
_loaded = functools.cache(easi3r.load_backbone)


def backbone_for(name):
    """A backbone, loaded once for all visitors."""
    with _loading:
        return _loaded(name)


def _speed_class(backbone):
    return "preview" if backbone.name == "preview" else backbone.device.split(":")[0]


def gpu_seconds(clip, name, options, progress=None):
    """Seconds of GPU to ask for on ZeroGPU: fixed cost plus so much per pair."""
    return int(20 + 0.08 * len(pairs.build(options.max_frames, options.graph)))


@spaces.GPU(duration=gpu_seconds)
def compute(clip, name, options, progress=None):
    """The part that wants a GPU. On ZeroGPU it runs in a process of its own, where `progress` cannot follow."""
    return easi3r.reconstruct(clip, backbone_for(name), options, progress)


def plan(clip, frames, name):
    """What a run will do, in one sentence; shown before Run. Also tells at once when a clip cannot be used."""
    if not clip:
        return "Choose a clip or one of the examples below."
    try:
        info = video.probe(clip)
    except easi3r.InputError as error:
        return f"⚠️ {error}"
    n_frames = min(int(frames), info.n_frames)
    n_pairs = len(pairs.build(n_frames))
    if name in ("auto", "preview"):
        backbone = backbone_for(name)
        pace = _seconds_per_pair.get(_speed_class(backbone), _seconds_per_pair["cpu"])
        made_by = f"with **{backbone.name}**"
    else:
        pace, made_by = _seconds_per_pair["cpu" if not _has_gpu() else "cuda"], f"with **{name}** (2.3 GB of weights are fetched on first use)"
    return (
        f"{info.width} x {info.height}, {info.duration:.1f} s. **{n_frames} frames** spread over the whole clip, "
        f"{n_pairs} pairs, {made_by}: **about {_rough(5 + pace * n_pairs)}**."
    )


def _has_gpu():
    import torch  # slow to import; only asked for when a network is chosen

    return torch.cuda.is_available()


def _rough(seconds):
    return f"{max(5, round(seconds / 5) * 5)} seconds" if seconds < 100 else f"{round(seconds / 60)} minutes"


def run(clip, frames, name, sensitivity):
    """Reconstruct and show; yields what changes on the page. A file of its own for every run, deleted when it has been handed over."""
    if not clip:
        raise gr.Error("Choose a clip first, or one of the examples.")
    folder = Path(tempfile.mkdtemp(prefix="easi3r-"))
    news, stop = queue.Queue(), threading.Event()
    try:
        worker = threading.Thread(target=_work, args=(clip, int(frames), name, sensitivity, folder, news, stop), daemon=True)
        worker.start()
        yield {status: gr.update(value="Starting", visible=True), outputs: gr.update(visible=True), cancel: gr.update(visible=True)}
        yield from _relay(worker, news)
        kind, value = news.get()
        if kind == "error":
            raise gr.Error(value, duration=None)
        yield _show(*value)
        yield {cancel: gr.update(visible=False)}  # one yield after the model: gradio drops a viewer that comes with the last one
    finally:
        stop.set()
        worker.join(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)


def _relay(worker, news):
    """Pass on progress until the worker ends; yields often, since a run can be cancelled only between yields."""
    waiting = None
    while worker.is_alive() or not news.empty():
        try:
            kind, value = news.get(timeout=0.4)
        except queue.Empty:
            yield {status: gr.update()}
            continue
        if kind != "progress":
            waiting = (kind, value)
            break
        while not news.empty() and news.queue[0][0] == "progress":
            kind, value = news.get()
        yield {status: f"{value[0]:4.0%}  {value[1]}"}
    news.put(waiting or ("error", "The run ended without a result; please try again."))


def _work(clip, frames, name, sensitivity, folder, news, stop):
    """In a thread of its own: compute and write the files."""

    def progress(fraction, text):
        if stop.is_set():
            raise Cancelled
        news.put(("progress", (fraction, text)))

    try:
        progress(0, "Loading the backbone")
        backbone = backbone_for(name)
        began = time.perf_counter()
        options = easi3r.Options(max_frames=frames, sensitivity=sensitivity)
        result = compute(clip, name, options, None if os.environ.get("SPACES_ZERO_GPU") else progress)
        _seconds_per_pair[_speed_class(backbone)] = (time.perf_counter() - began) / result.info["pairs"]
        progress(0.97, "Writing the results")
        files = result.save(folder / "results")
        view = write_glb(result, folder / "view.glb", colours="babylon")
        archive = shutil.make_archive(str(folder / "easi3r-results"), "zip", folder / "results")
        news.put(("done", (result.info, files, view, archive, backbone.note)))
    except Cancelled:
        news.put(("error", "Cancelled."))
    except easi3r.InputError as error:
        news.put(("error", str(error)))
    except Exception:  # a bug: the visitor gets a sentence, the server's log gets the trace
        news.put(("error", "Something went wrong on our side; please try another clip or fewer frames."))
        raise


def _show(info, files, view, archive, note):
    seconds = sum(info["seconds"].values())
    words = [f"Made with **{info['backbone']['name']}** from {info['frames']} frames and {info['pairs']} pairs in {seconds:.0f} s. Scale is arbitrary."]
    words += [note]
    words += [f"⚠️ {w}" for w in info["warnings"]]
    return {
        status: "done",
        model: gr.Model3D(value=str(view.path), camera_position=view.camera_position),
        masks: files["masks.mp4"],
        depth: files["depth.mp4"],
        poses: files["poses.txt"],
        everything: gr.DownloadButton(value=archive, interactive=True),
        report: "  \n".join(words),
    }


with gr.Blocks(title="Easi3R: video to 4D", delete_cache=(3600, 7200)) as demo:
    gr.Markdown(PAGE)
    with gr.Row():
        with gr.Column(scale=1, min_width=320):
            clip = gr.Video(label="Your clip", sources=["upload"], elem_id="clip", height=260)
            planned = gr.Markdown("Choose a clip or one of the examples below.", elem_id="plan")
            with gr.Row():
                start = gr.Button("Reconstruct", variant="primary", elem_id="run")
                cancel = gr.Button("Cancel", variant="stop", visible=False, elem_id="cancel")
            with gr.Accordion("Settings", open=False, elem_id="settings"):
                frames = gr.Slider(2, 96, easi3r.Options.max_frames, step=1, label="Frames used, spread over the whole clip", elem_id="frames")
                name = gr.Dropdown(BACKBONES, value="auto", label="Backbone", elem_id="backbone")
                sensitivity = gr.Slider(
                    0, 1, easi3r.Options.sensitivity, step=0.05, label="Mask sensitivity: 0 marks only what surely moves", elem_id="sensitivity"
                )
            gr.Examples([[str(e)] for e in EXAMPLES], [clip], label="Examples", elem_id="examples", cache_examples=False)
        with gr.Column(scale=2, min_width=320):
            status = gr.Textbox(label="Progress", visible=False, interactive=False, elem_id="status", max_lines=1)
            with gr.Column(visible=False) as outputs:
                model = gr.Model3D(label="4D scene: drag to turn, scroll to zoom", elem_id="model", height=460, clear_color=(0.08, 0.09, 0.11, 1))
                report = gr.Markdown(elem_id="report")
                with gr.Row():
                    masks = gr.Video(label="What moves", elem_id="masks", autoplay=True, loop=True, buttons=["download"])
                    depth = gr.Video(label="Depth (near is bright)", elem_id="depth", autoplay=True, loop=True, buttons=["download"])
                with gr.Row():
                    poses = gr.File(label="Camera path (TUM format)", interactive=False, elem_id="poses")
                    everything = gr.DownloadButton("Download everything (zip)", interactive=False, elem_id="everything")
    gr.Markdown(FOOT)

    gr.on([clip.change, frames.release, name.change, demo.load], plan, [clip, frames, name], planned, show_progress="hidden", api_name=False)
    work = start.click(
        run,
        [clip, frames, name, sensitivity],
        [status, outputs, cancel, model, report, masks, depth, poses, everything],
        concurrency_limit=2,
        show_progress="hidden",
        api_name=False,
    )
    cancel.click(
        lambda: {status: "Cancelled.", cancel: gr.update(visible=False)}, None, [status, cancel], cancels=[work], queue=False, api_name=False
    )


def launch(**kwargs):
    """Start the server; keyword arguments go to gradio's `launch`."""
    return demo.queue(max_size=20).launch(max_file_size="500mb", **kwargs)


if __name__ == "__main__":
    launch()
