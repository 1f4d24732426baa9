"""The page, driven as a visitor would: headless Chromium through Playwright. Skips where no browser is installed."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from clips import encode, numbered
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from huggingface_hub.file_download import repo_folder_name
from PIL import Image
from safetensors.torch import save_file
from test_network import JSON, TINY, seeded
from test_unpack import hostile, zipped

from easi3r import InputError, Options, synthetic, video
from easi3r.backbones.dust3r.model import Config
from easi3r.backbones.load import HUB

playwright_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium on this machine")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--use-gl=angle", "--use-angle=swiftshader",
         "--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking", "--disable-component-update"]


EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def address():
    import app

    _, url, _ = app.launch(prevent_thread_lock=True, quiet=True)
    yield url
    app.demo.close()


@pytest.fixture(scope="module")
def browser():
    with playwright_api.sync_playwright() as play:
        chromium = play.chromium.launch(executable_path=BROWSER, args=FLAGS)
        yield chromium
        chromium.close()


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    path = tmp_path_factory.mktemp("clip") / "walk.mp4"
    video.write(path, synthetic.render("street", 10, 224, 128).frames, 8)
    return path


def open_page(browser, address, width=390, height=844):
    """A page of the size of a phone unless said otherwise: drawing in software, as here, takes as long as all the rest."""
    page = browser.new_page(viewport={"width": width, "height": height})
    page.goto(address)
    page.wait_for_selector("#run")
    return page


def upload(page, clip):
    page.locator("#clip input[type=file]").set_input_files(clip)
    page.wait_for_function("document.querySelector('#plan').innerText.match(/pairs|⚠/)", timeout=20000)


def wait_until_done(page):
    page.wait_for_function("document.querySelector('#status input, #status textarea')?.value.startsWith('done')", timeout=90000)


def share_drawn(canvas):
    """Share of the canvas that differs from its corner; the buttons' row on top left out."""
    pixels = np.asarray(Image.open(io.BytesIO(canvas.screenshot())).convert("RGB")).astype(int)[45:]
    return (np.abs(pixels - pixels[0, 0]).max(2) > 12).mean()


def our_folders():
    return {p for p in Path(tempfile.gettempdir()).glob("easi3r-*") if "api" not in p.name}


def test_a_clip_becomes_a_scene_videos_and_files(browser, address, clip, tmp_path):
    before = our_folders()
    page = open_page(browser, address, 1280, 1000)
    upload(page, clip)
    assert "10 frames" in page.locator("#plan").inner_text()
    page.locator("#run").click()
    wait_until_done(page)
    wait_until_drawn(page)
    assert "preview" in page.locator("#report").inner_text()
    frame = page.locator("#player iframe")
    open_tab(page, "Player")
    frame.content_frame.locator("html[data-state=ready]").wait_for(state="attached", timeout=30000)
    for tab, names in {"Video": ["orbit"], "What moves": ["masks"], "Depth": ["depth", "confidence"], "Look inside": ["inside"]}.items():
        open_tab(page, tab)
        for name in names:
            page.wait_for_function(f"(v => v && v.readyState >= 2 && v.videoWidth > 0 && !v.error)(document.querySelector('#{name} video'))")
    open_tab(page, "Camera path")
    page.wait_for_function("document.querySelector('#path img')?.naturalWidth == 960")
    open_tab(page, "Downloads")
    with page.expect_download() as download:
        page.locator("#everything").click()
    assert download.value.suggested_filename == "easi3r-results.zip"
    with zipfile.ZipFile(download.value.path()) as archive:
        names = set(archive.namelist())
    assert {"README.txt", "player.html", "scene.glb", "poses.txt", "dataset/transforms.json", "dataset/sparse/0/cameras.txt"} <= names
    listed = page.locator("#files").inner_text().replace("\n", "")
    assert "poses.txt" in listed and "static.ply" in listed
    page.close()
    wait_for_folders(before)


def open_tab(page, name):
    tab = page.get_by_role("tab", name=name, exact=True)
    if not tab.is_visible():  # on a narrow page the last tabs are in a menu
        page.locator(".overflow-menu > button").click()
        tab = page.locator(".overflow-dropdown button", has_text=name)
    tab.click()


def wait_until_drawn(page):
    deadline = time.time() + 60
    canvas = page.locator("#model canvas")
    while not (canvas.count() and share_drawn(canvas) > 0.05):
        assert time.time() < deadline, "the 3D view stays blank"
        time.sleep(0.3)


def wait_for_folders(before):
    """A visitor's files live as long as their page, or until they cancel."""
    deadline = time.time() + 20
    while not our_folders() <= before:
        assert time.time() < deadline, "files are left behind"
        time.sleep(0.3)


def test_an_example_is_there_at_once_and_its_view_changes_without_a_run(browser, address):
    page = open_page(browser, address)
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#examples button.gallery-item, #examples button").first.click()
    page.wait_for_function("document.querySelector('#report')?.innerText.includes('Computed beforehand')", timeout=20000)
    wait_until_done(page)
    page.wait_for_function("(box => 0 <= box.top && box.bottom <= innerHeight)(document.querySelector('#model').getBoundingClientRect())")
    wait_until_drawn(page)
    sizes = []
    for change in (
        lambda: page.locator("#show label", has_text="Only what moves").click(),
        lambda: page.locator("#style label", has_text="Points").click(),
        lambda: slide(page, "#moment", 3),
        lambda: slide(page, "#cut", 0.5),
    ):
        with page.expect_response(lambda response: response.url.endswith("view.glb"), timeout=20000) as response:
            change()
        sizes.append(len(response.value.body()))
    assert sizes[1] < sizes[0] and sizes[2] < 0.5 * sizes[1]  # points have no triangles; one moment is less than all
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert not [url for url in asked if "ffmpeg" in url]  # 32 MB that only trimming needs
    page.close()


def slide(page, slider, value):
    box = page.locator(f"{slider} input[type=range]")
    box.fill(str(value))
    box.dispatch_event("pointerup")


@pytest.fixture(scope="module")
def client(address):
    return Client(address, verbose=False)


def test_the_endpoint_takes_every_option_and_masks(client, clip, tmp_path):
    drawn = np.zeros((10, 128, 224, 3), np.uint8)
    drawn[:, 20:60, 30:100] = 255
    video.write(tmp_path / "mask.mp4", drawn, 8)
    chosen = {"max_frames": 6, "sensitivity": 0.7, "fov": 70, "refine": False, "flow": False, "smooth": False}
    chosen["graph"] = "swin-2"
    given = {"clip": handle_file(str(clip)), "masks": handle_file(str(tmp_path / "mask.mp4")), "backbone": "preview"}
    archive, report = client.predict(**given, **chosen, api_name="/reconstruct")
    assert report["frames"] == 6 and report["backbone"]["name"] == "preview" and report["masks"] == "given by the user"
    assert {**report["options"], **chosen} == report["options"]
    with zipfile.ZipFile(archive) as file:
        assert "poses.txt" in file.namelist()
    (endpoint,) = client.view_api(return_format="dict", print_info=False)["named_endpoints"].values()
    parameters = {p["parameter_name"]: p["parameter_default"] for p in endpoint["parameters"]}
    assert {**parameters, **asdict(Options())} == parameters  # a new option is there by itself


HAND_OVER = "must be a file, or a list of files; hand it over as handle_file('my-clip.mp4')."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"fov": "wide"}, "fov is 'wide'; it must be a number or None."),
        ({"max_frames": 2.5}, "max_frames is 2.5; it must be a whole number."),
        ({"max_frames": True}, "max_frames is True; it must be a whole number."),
        ({"sensitivity": [1]}, "sensitivity is [1]; it must be a number."),
        ({"refine": "no"}, "refine is 'no'; it must be true or false."),
        ({"graph": 3}, "graph is 3; it must be text."),
        ({"backbone": "/etc"}, "backbone is '/etc'; it must be one of auto, preview, dust3r, monst3r."),
        ({"masks": "mask.mp4"}, f"masks {HAND_OVER}"),
        ({"clip": None}, f"clip {HAND_OVER}"),
    ],
)
def test_the_endpoint_says_what_is_wrong_in_a_sentence(client, clip, capfd, given, sentence):
    with pytest.raises(AppError) as error:
        client.predict(**{"clip": handle_file(str(clip)), **given}, api_name="/reconstruct")
    assert str(error.value) == sentence
    assert "Traceback" not in capfd.readouterr().err


def test_a_program_cannot_name_files_of_the_server(address, clip):
    """Sent without the client library, which would upload what it finds under the path."""
    mark = {"meta": {"_type": "gradio.FileData"}}
    around = f"{EXAMPLES}{'/..' * len(EXAMPLES.parts[1:])}{clip}"
    for file in (str(clip), {"path": str(clip)}, {"path": str(clip), **mark}, {"path": around, **mark},
                 {"path": str(clip), "is_stream": True, **mark}, [{"path": str(clip), **mark}]):  # fmt: skip
        others = [value for name, value in asdict(Options()).items() if name not in ("max_frames", "sensitivity")]
        data = [file, 2, "preview", 0.5, None, *others]
        call = {"data": json.dumps({"data": data}).encode(), "headers": {"Content-Type": "application/json"}}
        url = f"{address}gradio_api/call/reconstruct"
        event = json.load(urllib.request.urlopen(urllib.request.Request(url, **call), timeout=20))["event_id"]
        answer = urllib.request.urlopen(f"{url}/{event}", timeout=60).read().decode()
        assert answer.startswith("event: error") and "zip" not in answer, file


def test_a_bad_file_gets_a_sentence(browser, address, tmp_path):
    bad = tmp_path / "letter.mp4"
    bad.write_text("Dear reader, this is not a video.")
    page = open_page(browser, address)
    upload(page, bad)
    assert "cannot be read as a video" in page.locator("#plan").inner_text()
    page.locator("#run").click()
    page.locator("[data-testid=toast-body]", has_text="cannot be read as a video").wait_for(timeout=20000)
    page.close()


def photos(folder, n):
    folder.mkdir()
    for k in range(1, n + 1):
        Image.fromarray(numbered(k)).save(folder / f"img{k}.png")
    return [folder / f"img{k}.png" for k in range(n, 0, -1)]


@pytest.fixture(scope="module")
def page(browser, address):
    page = open_page(browser, address)
    yield page
    page.close()


def kinds(folder):
    """Name -> codec of clips of 12 frames."""
    made = dict.fromkeys(["IMG_0001.MOV", "walk.MKV", "walk.ts", "00000.MTS", "walk.m2ts", "walk.3gp"], "libx264")
    made |= {"walk.AVI": "mpeg4", "walk.webm": "libvpx-vp9", "hevc.mp4": "libx265", "walk.gif": "gif"}
    for name, codec in made.items():
        if name.lower().endswith(("mts", "m2ts")):
            encode(folder / "clip.ts", [numbered(k) for k in range(12)], codec).rename(folder / name)
        else:
            encode(folder / name, [numbered(k) for k in range(12)], codec, pix_fmt="rgb8" if codec == "gif" else None)
    return made


def test_every_kind_of_clip_is_taken_one_after_the_other(page, tmp_path):
    shown = "(v => v && v.checkVisibility() && v.readyState > 0)(document.querySelector('#preview video'))"
    still = "document.querySelector('#preview figcaption')?.checkVisibility()"
    for name in kinds(tmp_path):
        page.locator("#clip input[type=file]").set_input_files(tmp_path / name)
        page.locator("#plan", has_text=name).wait_for(timeout=20000)
        assert "96 x 64, 1.2 s. 12 frames" in page.locator("#plan").inner_text()
        page.wait_for_function(f"{shown} || {still} || '{name}'.includes('gif')")
        if name in ("IMG_0001.MOV", "walk.webm"):
            assert page.evaluate(shown)
        elif name in ("walk.ts", "00000.MTS", "walk.m2ts", "walk.AVI"):
            assert "cannot play this kind of clip. It can be used" in page.locator("#preview").inner_text()
            page.wait_for_function("document.querySelector('#preview figure img').naturalWidth > 0")
        assert not page.locator("[data-testid=toast-body]").count()


def test_photos_and_zips_are_taken(page, tmp_path):
    files = photos(tmp_path / "photos", 3)
    upload_another(page, files, "3 files: 96 x 64, 3 photos. 3 frames")
    upload_another(page, files[0], "img3.png: 96 x 64, 1 photo. 1 frame")
    path = zipped(tmp_path / "walk.zip", [f"a/{k}.png" for k in range(12)])
    upload_another(page, path, "walk.zip: 96 x 64, 12 photos. 12 frames")


def upload_another(page, files, text):
    page.locator("#clip input[type=file]").set_input_files(files)
    page.locator("#plan", has_text=text).wait_for(timeout=20000)


def test_clips_can_be_dropped_and_chosen(page, tmp_path):
    encode(tmp_path / "first.MTS.ts", [numbered(k) for k in range(12)])
    with page.expect_file_chooser() as chooser:
        page.locator("#clip [aria-dropeffect]").click()
    chooser.value.set_files(tmp_path / "first.MTS.ts")
    page.locator("#plan", has_text="first.MTS.ts").wait_for(timeout=20000)
    content = list(encode(tmp_path / "b.mkv", [numbered(k) for k in range(12)]).read_bytes())
    drop = """([name, content]) => { // as of a file manager that knows no type for it
        const dropped = new DataTransfer();
        dropped.items.add(new File([new Uint8Array(content)], name, {type: ''}));
        const drop = new DragEvent('drop', {dataTransfer: dropped, bubbles: true, cancelable: true});
        document.querySelector('#clip [aria-dropeffect]').dispatchEvent(drop);
    }"""
    for name in ("second.MKV", "third.mkv"):
        page.evaluate(drop, [name, content])
        page.locator("#plan", has_text=name).wait_for(timeout=20000)


HOSTILE = {  # name -> a part of the sentence
    "list.m3u8": "'list.m3u8'", "list.mp4": "'list.mp4'", "link.zip": "has a link", "up.zip": "outside",
    "two.html": "cannot be read",
}  # fmt: skip


def bad_file(folder, name):
    """A file that wants more than it may: lists name `there.mp4`, a good clip elsewhere."""
    encode(folder / "there.mp4", [numbered(k) for k in range(12)])
    path, there = folder / name, folder / "there.mp4"
    if name == "list.m3u8":
        path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{there}\n#EXT-X-ENDLIST\n")
    elif name == "list.mp4":
        path.write_text(f"ffconcat version 1.0\nfile {there}\n")
    elif name == "two.html":
        path.write_text("<script>document.title = 'taken over'</script>")
    else:
        hostile(path, "link" if name == "link.zip" else "../1.png")
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_reach_elsewhere_get_a_sentence_and_no_frames(page, client, tmp_path, name):
    before, path = our_folders(), bad_file(tmp_path, name)
    with pytest.raises(AppError, match=HOSTILE[name]):
        client.predict(clip=handle_file(str(path)), max_frames=2, backbone="preview", api_name="/reconstruct")
    upload_another(page, path, HOSTILE[name])
    assert page.locator("#plan").inner_text().startswith("⚠️") and not page.locator("#preview").is_visible()
    page.locator("#run").click()
    page.locator("[data-testid=toast-body]", has_text=HOSTILE[name]).first.wait_for(timeout=20000)
    page.locator("[data-testid=toast-close]").first.click()
    assert our_folders() == before and page.title() == "Easi3R: video to 4D"


def test_masks_of_many_files_are_sorted_by_number(page, tmp_path):
    """Mask n is n columns wide; sorted by name, 10 would come before 2."""
    encode(tmp_path / "walk.mp4", [numbered(k) for k in range(12)])
    masks = []
    for k in range(1, 13):
        picture = np.zeros((64, 96), np.uint8)
        picture[:, : 8 * k] = 255
        Image.fromarray(picture).save(tmp_path / f"mask_{k}.png")
        masks.append(tmp_path / f"mask_{k}.png")
    upload_another(page, tmp_path / "walk.mp4", "walk.mp4")
    page.locator("#settings button").first.click()
    page.locator("#own-mask input[type=file]").set_input_files(masks)
    page.locator("#own-mask", has_text="mask_12").wait_for()
    page.wait_for_timeout(500)
    page.locator("#run").click()
    open_tab(page, "Downloads")
    wait_until_done(page)
    with page.expect_download() as download:
        page.locator("#everything").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("masks/") and name.endswith(".png"))
        shares = [np.asarray(Image.open(io.BytesIO(archive.read(name)))).astype(bool).mean() for name in names]
    assert len(shares) == 12 and shares == sorted(shares)


def test_two_visitors_get_their_own_results_one_with_a_mask_of_their_own(browser, address, clip, tmp_path):
    drawn = np.zeros((10, 128, 224, 3), np.uint8)
    drawn[:, 20:60, 30:100] = 255
    video.write(tmp_path / "mask.mp4", drawn, 8)
    other = tmp_path / "other.mp4"
    video.write(other, synthetic.render("room", 7, 160, 96).frames, 8)
    pages = [open_page(browser, address) for _ in range(2)]
    for page, own in zip(pages, (clip, other)):
        upload(page, own)
    pages[0].locator("#settings button").first.click()
    pages[0].locator("#own-mask input[type=file]").set_input_files(str(tmp_path / "mask.mp4"))
    pages[0].locator("#own-mask", has_text="mask").wait_for()
    pages[0].wait_for_timeout(500)
    for page in pages:
        page.locator("#run").click()
        open_tab(page, "Downloads")  # two scenes drawn by the processor would slow the runs
    for page in pages:
        wait_until_done(page)
    texts = [page.locator("#report").inner_text() for page in pages]
    assert "10 frames" in texts[0] and "7 frames" in texts[1]
    with pages[0].expect_download() as download:
        pages[0].locator("#everything").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        assert json.loads(archive.read("report.json"))["masks"] == "given by the user"
    for page in pages:
        page.close()


def test_cancel_stops_a_run(browser, address):
    long = Path(__file__).parents[1] / "examples" / "street.mp4"
    before = our_folders()
    page = open_page(browser, address)
    upload(page, long)
    page.locator("#run").click()
    page.locator("#cancel").click(timeout=20000)
    page.wait_for_function("document.querySelector('#status input, #status textarea').value.startsWith('Cancelled')", timeout=10000)
    wait_for_folders(before)
    page.close()


def test_nobody_waits_for_a_run_that_its_visitor_has_left(browser, address, clip, monkeypatch):
    from easi3r import gpu

    going_on = threading.Event()

    def a_long_step(*arguments):
        going_on.wait(30)
        raise InputError("It was of no use.")

    monkeypatch.setattr(gpu, "reconstruct", a_long_step)
    before = our_folders()
    page = open_page(browser, address)
    upload(page, clip)
    page.locator("#run").click()
    page.locator("#cancel").wait_for()
    page.close()
    deadline = time.time() + 4
    while time.time() < deadline:
        asked = time.time()
        urllib.request.urlopen(address, timeout=10).close()
        assert time.time() - asked < 3
        time.sleep(0.3)
    going_on.set()
    wait_for_folders(before)


@pytest.fixture
def zero_gpu(tmp_path):
    """(address, folder) of the page on a stand-in for ZeroGPU, see zero_gpu.py, with tiny weights in place of the real ones."""
    hub = tmp_path / "hub"
    for _, repository in HUB.values():
        model = hub / repo_folder_name(repo_id=repository, repo_type="model")
        for folder in (model / "refs", model / "snapshots" / "1"):
            folder.mkdir(parents=True)
        (model / "refs" / "main").write_text("1")
        (folder / "config.json").write_text(json.dumps(JSON))
        save_file(seeded(Config(**TINY, head_type="linear")).state_dict(), folder / "model.safetensors")
    script = Path(__file__).with_name("zero_gpu.py")
    environment = {**os.environ, "HF_HUB_CACHE": str(hub), "HF_HUB_OFFLINE": "1"}
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, script, tmp_path], stdout=subprocess.PIPE, stderr=log, text=True, env=environment, start_new_session=True
        )
    yield server.stdout.readline().strip(), tmp_path
    os.killpg(server.pid, signal.SIGKILL)  # with the process forked for the run
    server.wait()
    server.stdout.close()


def test_on_zero_gpu_a_run_gets_its_gpu_for_the_visitor(browser, zero_gpu, tmp_path):
    address, folder = zero_gpu
    video.write(tmp_path / "short.mp4", synthetic.render("street", 4, 160, 96).frames, 8)
    context = browser.new_context(viewport={"width": 390, "height": 844}, extra_http_headers={"x-ip-token": "who.e30.asks"})
    page = context.new_page()
    page.goto(address)
    upload(page, tmp_path / "short.mp4")
    page.locator("#settings button").first.click()
    # the preview first: it leaves the server with threads that the other's fork lacks
    for option, name in (("Preview:", "preview"), ("MonST3R (", "MonST3R")):
        page.locator("#backbone input").click()
        page.get_by_role("option", name=option).click()
        page.locator("#plan", has_text=name).wait_for()
        page.locator("#run").click()
        page.locator("#report", has_text=f"Made with {name} from 4 frames").wait_for(timeout=60000)
        open_tab(page, "Downloads")
        wait_until_done(page)
    (asked,) = [json.loads(line) for line in (folder / "asked").read_text().splitlines()]
    assert asked["token"] == "who.e30.asks" and 10 < int(asked["durationSeconds"]) < 20

    (folder / "refuse").touch()
    page.locator("#run").click()
    page.locator("[data-testid=toast-body]", has_text="exceeded your").wait_for(timeout=20000)
    assert not page.locator("#cancel").is_visible()
    context.close()
