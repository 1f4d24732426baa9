"""What visitors bring to the page: clips of every kind, photos, zips, masks, and files that are none of these."""

import io
import json
import zipfile

import numpy as np
import pytest
from clips import encode, numbered
from pages import open_page, open_tab, our_folders, slide, upload_another, wait_until_done
from PIL import Image
from test_unpack import hostile, zipped

pytestmark = pytest.mark.usefixtures("few_pairs")


@pytest.fixture(scope="module")
def page(browser, address):
    page = open_page(browser, address)
    yield page
    page.close()


def photos(folder, n):
    folder.mkdir()
    for k in range(1, n + 1):
        Image.fromarray(numbered(k)).save(folder / f"img{k}.png")
    return [folder / f"img{k}.png" for k in range(n, 0, -1)]


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
        page.locator("#plan", has_text=name).wait_for(timeout=90000)
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
    assert "clearer with ten frames" in page.locator("#plan").inner_text()
    upload_another(page, files[0], "img3.png: 96 x 64, 1 photo. 1 frame")
    assert "depth is a guess" in page.locator("#plan").inner_text()
    path = zipped(tmp_path / "walk.zip", [f"a/{k}.png" for k in range(12)])
    upload_another(page, path, "walk.zip: 96 x 64, 12 photos. 12 frames")
    assert "⚠️" not in page.locator("#plan").inner_text()


def test_clips_can_be_dropped_and_chosen(page, tmp_path):
    encode(tmp_path / "first.MTS.ts", [numbered(k) for k in range(12)])
    with page.expect_file_chooser() as chooser:
        page.locator("#clip [aria-dropeffect]").click()
    chooser.value.set_files(tmp_path / "first.MTS.ts")
    page.locator("#plan", has_text="first.MTS.ts").wait_for(timeout=90000)
    content = list(encode(tmp_path / "b.mkv", [numbered(k) for k in range(12)]).read_bytes())
    drop = """([name, content]) => { // as of a file manager that knows no type for it
        const dropped = new DataTransfer();
        dropped.items.add(new File([new Uint8Array(content)], name, {type: ''}));
        const drop = new DragEvent('drop', {dataTransfer: dropped, bubbles: true, cancelable: true});
        document.querySelector('#clip [aria-dropeffect]').dispatchEvent(drop);
    }"""
    for name in ("second.MKV", "third.mkv"):
        page.evaluate(drop, [name, content])
        page.locator("#plan", has_text=name).wait_for(timeout=90000)


HOSTILE = {  # name -> a part of the sentence
    "list.m3u8": "'list.m3u8'",
    "list.mp4": "'list.mp4'",
    "link.zip": "has a link",
    "up.zip": "outside",
    "two.html": "cannot be read",
    "letter.mp4": "cannot be read as a video",
}


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
    elif name == "letter.mp4":
        path.write_text("Dear reader, this is not a video.")
    else:
        hostile(path, "link" if name == "link.zip" else "../1.png")
    return path


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_reach_elsewhere_get_a_sentence_and_no_frames(page, tmp_path, name):
    before, path = our_folders(), bad_file(tmp_path, name)
    upload_another(page, path, HOSTILE[name])
    page.wait_for_function("document.querySelector('#plan').innerText.startsWith('⚠️')")  # once the spinner is gone
    assert not page.locator("#preview").is_visible()
    page.locator("#run").click()
    page.locator("[data-testid=toast-body]", has_text=HOSTILE[name]).first.wait_for(timeout=90000)
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
    slide(page, "#frames", 5)
    page.locator("#plan", has_text="5 frames").wait_for()
    page.locator("#run").click()
    open_tab(page, "Downloads")
    wait_until_done(page)
    with page.expect_download() as download:
        page.locator("#everything").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        names = sorted(name for name in archive.namelist() if name.startswith("masks/") and name.endswith(".png"))
        shares = [np.asarray(Image.open(io.BytesIO(archive.read(name)))).astype(bool).mean() for name in names]
        used = json.loads(archive.read("report.json"))["frame_numbers"]
    assert len(used) == 5 and np.allclose(shares, (np.array(used) + 1) / 12)
