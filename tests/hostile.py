"""Seeded hostile inputs, made from small valid ones: python tests/hostile.py 500 [--page 50] [--browser 50]
[--seed 0] tries them.

Through the API each must end in success or `InputError`, with nothing on stderr and nothing left in the folder of
temporary files; through the endpoint of a running page, and through the page itself in Chromium, in success or one
sentence. Prints a summary; exit code 1 if something failed.
"""

import argparse
import contextlib
import io
import os
import random
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from clips import encode, numbered
from pages import BROWSER, FLAGS, our_folders, upload, wait_for_folders
from PIL import Image
from test_unpack import zipped

import easi3r
from easi3r import InputError, video

SUFFIXES = [
    ".mp4",
    ".MOV",
    ".mkv",
    ".webm",
    ".avi",
    ".ts",
    ".gif",
    ".png",
    ".jpg",
    ".webp",
    ".tif",
    ".zip",
    ".m3u8",
    ".heic",
    ".txt",
    "",
]
JUNK = {
    "max_frames": [0, -3, 2.5, "4", None, True, 10**9],
    "sensitivity": [float("nan"), -1, "x", None, [0.5]],
    "fov": [0, 1e9, float("inf"), "wide", []],
    "graph": ["", "swin-0", 7, "oneref-99"],
    "refine": [None, 3, "no"],
}
OUTCOME = """() => document.querySelector('[data-testid=toast-body]')?.innerText
    || (document.querySelector('#status input, #status textarea')?.value == 'done' && 'read')"""


def seeds(folder):
    """A few small valid files, one of each kind of reader."""
    folder.mkdir()
    frames = [numbered(k) for k in range(6)]
    for name, codec in {
        "a.mp4": "libx264",
        "a.webm": "libvpx-vp9",
        "a.avi": "mpeg4",
        "a.ts": "libx264",
        "a.mkv": "libx265",
    }.items():
        encode(folder / name, frames, codec)
    encode(folder / "a.gif", frames, "gif", pix_fmt="rgb8")
    for suffix in ("png", "jpg", "webp", "tif"):
        Image.fromarray(frames[0]).save(folder / f"a.{suffix}")
    zipped(folder / "a.zip", [f"frames/{k}.png" for k in range(6)])
    return sorted(folder.iterdir())


def hostile(number, valid, folder):
    """(path, keywords of `Options`) of hostile input `number`: the same at every call."""
    chance = random.Random(number)
    source = chance.choice(valid)
    data, suffix = bytearray(source.read_bytes()), source.suffix
    for _ in range(chance.randint(1, 2)):
        data = chance.choice([_cut, _flip, _swap, _fill, lambda data, chance: data])(data, chance)
    if chance.random() < 0.3:
        suffix = chance.choice(SUFFIXES)
    path = folder / (chance.choice(["clip", "a clip; $(x) é", "-n", "x" * 100]) + suffix)
    path.write_bytes(data)
    name = chance.choice(list(JUNK))
    return path, {"max_frames": 2, **({name: chance.choice(JUNK[name])} if chance.random() < 0.2 else {})}


def _cut(data, chance):
    return data[: chance.randrange(len(data) + 1)]


def _flip(data, chance):
    for _ in range(chance.choice([1, 5, 50]) if data else 0):
        data[chance.choice([chance.randrange(len(data)), chance.randrange(min(len(data), 200))])] = chance.randrange(
            256
        )
    return data


def _swap(data, chance):
    a, b = sorted(chance.randrange(len(data) + 1) for _ in range(2))
    return data[b:] + data[a:b] + data[:a]


def _fill(data, chance):
    start = chance.randrange(len(data) + 1)
    size = len(data[start : start + 64])
    data[start : start + size] = chance.choice([b"\0", b"\xff"]) * size
    return data


def through_api(path, options, backbone):
    """ "read" or the sentence of the `InputError`; anything else is raised."""
    try:
        clip = video.read(path, 2, 96, backbone.patch)
        easi3r.reconstruct(clip, backbone, easi3r.Options(**options))
    except InputError as error:
        assert "\n" not in str(error) and str(error).rstrip().endswith("."), f"not a sentence: {error}"
        return str(error)
    return "read"


@contextlib.contextmanager
def silence():
    """Raise where something, FFmpeg too, writes to stderr."""
    kept = os.dup(2)
    with tempfile.TemporaryFile() as file:
        os.dup2(file.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(kept, 2)
            os.close(kept)
        file.seek(0)
        said = file.read().decode(errors="replace").strip()
    assert not said, f"said on stderr: {said[:300]}"


def left_in(folder, before):
    return sorted(p.name for p in folder.iterdir() if p not in before)


def tries(n, first, attempt, valid, report=print):
    """Call `attempt(path, options)` for n inputs; returns (Counter of outcomes, [(seconds, number)], [failures])."""
    outcomes, took, failures = Counter(), [], []
    folder, temp = Path(tempfile.mkdtemp(prefix="hostile-")), Path(tempfile.gettempdir())
    try:
        for number in range(first, first + n):
            path, options = hostile(number, valid, folder)
            before, began = set(temp.iterdir()), time.perf_counter()
            try:
                outcome = attempt(path, options)
                outcomes["read" if outcome == "read" else "refused"] += 1
                left = [
                    name for name in left_in(temp, before) if re.match("easi3r-(?!api-)", name)
                ]  # the endpoint's results stay a while
                assert not left, f"left {left}"
            except Exception as error:  # noqa: BLE001 - a finding; the others are tried all the same
                failures.append(f"{number} {path.name[:20]!r} {path.suffix} {options}: {type(error).__name__}: {error}")
                report(failures[-1])
            took.append((time.perf_counter() - began, number))
            path.unlink()
    finally:
        shutil.rmtree(folder)
    return outcomes, sorted(took, reverse=True), failures


def api_attempt(backbone):
    def attempt(path, options):
        with silence():
            return through_api(path, options, backbone)

    return attempt


def page_attempt(client, handle_file):
    def attempt(path, options):
        options = {
            name: None if isinstance(v, float) and not np.isfinite(v) else v for name, v in options.items()
        }  # no JSON
        try:
            client.predict(clip=handle_file(str(path)), backbone="preview", **options, api_name="/reconstruct")
        except Exception as error:  # noqa: BLE001 - judged below
            text = str(error)
            assert "Traceback" not in text and "upstream" not in text and "our side" not in text, text
            return text
        return "read"

    return attempt


def browser_attempt(page, address):
    """As a visitor: upload, press the button, wait for the result or a sentence. The page has no `options`."""

    def attempt(path, options):
        before = our_folders()
        page.goto(address)
        page.wait_for_selector("#run")
        upload(page, path)
        page.locator("#run").click()
        outcome = page.wait_for_function(OUTCOME, timeout=60000).json_value()
        page.goto("about:blank")
        wait_for_folders(before)
        sentence = outcome.splitlines()[-1]
        assert outcome == "read" or ("our side" not in sentence and sentence.endswith(".")), outcome
        return sentence

    return attempt


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("n", type=int, nargs="?", default=0, help="inputs through the API")
    parser.add_argument("--page", type=int, default=0, help="inputs through the endpoint of a page started for it")
    parser.add_argument("--browser", type=int, default=0, help="inputs through that page in Chromium")
    parser.add_argument("--seed", type=int, default=0, help="number of the first input")
    arguments, failed = parser.parse_args(), []
    with tempfile.TemporaryDirectory() as folder:
        valid = seeds(Path(folder) / "valid")
        if arguments.n:
            attempt = api_attempt(easi3r.load_backbone("preview"))
            failed += _tell("API", *tries(arguments.n, arguments.seed, attempt, valid))
        if arguments.page or arguments.browser:
            with contextlib.redirect_stdout(io.StringIO()):
                import app

                address = app.launch(prevent_thread_lock=True, quiet=True)[1]
            failed += _through_page(address, arguments, valid)
            app.demo.close()
    return bool(failed)


def _through_page(address, arguments, valid):
    """Failures of the inputs asked for."""
    from gradio_client import Client, handle_file
    from playwright.sync_api import sync_playwright

    failed = []
    if arguments.page:
        attempt = page_attempt(Client(address, verbose=False), handle_file)
        failed += _tell("endpoint", *tries(arguments.page, arguments.seed, attempt, valid))
    if arguments.browser:
        with sync_playwright() as play, play.chromium.launch(executable_path=BROWSER, args=FLAGS) as chromium:
            page = chromium.new_page(viewport={"width": 390, "height": 844})
            failed += _tell("browser", *tries(arguments.browser, arguments.seed, browser_attempt(page, address), valid))
    return failed


def _tell(what, outcomes, took, failures):
    slowest = ", ".join(f"{seconds:.1f} s (input {number})" for seconds, number in took[:3])
    print(f"{what}: {dict(outcomes)}, {len(failures)} failed; slowest: {slowest}")
    return failures


if __name__ == "__main__":
    sys.exit(main())
