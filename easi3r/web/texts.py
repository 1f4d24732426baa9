"""What the page says."""

import base64
import html
import urllib.parse
from pathlib import Path

from ..backbones.weights import sam2
from ..scale import in_words
from ..system import systems

PAGE = """# See your video in 3D over time
Drop in a clip. You get the camera's path, what moves in it, and a 4D scene to turn around: the still world solid,
the moving people and animals playing on top. Nothing to install, nothing to sign up for."""
FOOT = """Method: [Easi3R](https://arxiv.org/abs/2503.24391) (Chen et al., 2025), written anew under the MIT licence.
The *weights* of DUSt3R, MonST3R, DAS3R and CUT3R are CC BY-NC-SA 4.0, for non-commercial use only; those of Depth
Anything 3 are Apache-2.0, for any use; the preview needs none. The scale of every result is arbitrary until you give it
a real size: a video alone does not tell metres from miles."""
COMPARE = """Two to four systems on **your clip**, each in turn, with the frames and masks chosen on the left; then side
by side: one clock plays all, one hand turns all, and a bar wipes between two."""
FILES = """**Everything in one zip**, with a README.txt that says how each file opens: the player, the scene for
Blender, COLMAP and nerfstudio datasets, depth and mask images, point clouds, arrays. Or singly, below (what is a folder
comes in the zip only)."""
COMPUTED = "Computed beforehand; press Reconstruct to compute it here."
WAITING = "<p>What moves is shown first, then the scene; a few seconds.</p>"
NOTHING = "<p>There is no result yet.</p>"
EXAMPLES = {  # name -> what it shows
    "orbit": "Toy train",
    "phone": "Filmed look-alike (rendered)",
    "room": "Living room",
    "street": "Street",
}


def menu() -> list[tuple[str, str]]:
    """(text, name) of the systems to choose from."""
    return [("Automatic: the best that can run here", "auto"), *((card.menu, card.name) for card in systems())]


def sharper() -> tuple[str, bool, bool]:
    """Of the switch for SAM 2: its label, whether it can be used here, and whether it is on at first."""
    if not sam2.installed():
        return "Sharper outlines (SAM 2; this server lacks transformers)", False, False
    missing = sam2.to_fetch()
    label = f"Sharper outlines (SAM 2, fetches {missing} MB)" if missing else "Sharper outlines (SAM 2)"
    return label, True, not missing  # nothing is fetched that nobody asked for


def made_with(info: dict, note: str) -> str:
    """What made a result, Markdown; info: of the `Reconstruction`, note: for the visitor."""
    seconds = sum(info["seconds"].values())
    pairs = f" and {info['pairs']} pairs" if info.get("pairs") else ""
    solved = f" ({info['solved']} solved, the others follow)" if info.get("solved") else ""
    looked = f"{info['frames']} frames{solved}{pairs}"
    made = f"Made with **{info['system']}** from {looked} in {seconds:.0f} s. {in_words(info)}"
    if info.get("coarse"):
        made = f"**A first look**, made with {info['system']} from {info['frames']} frames; the whole scene follows."
    return "\n\n".join(filter(None, [made, note]))


def to_mind(info: dict) -> str:
    """What to mind when looking at a result, Markdown; empty if nothing."""
    said = info["warnings"]
    return "\n".join(["⚠️ **Mind when you look at it:**", "", *(f"- {each}" for each in said)]) if said else ""


def embedded(player: str | Path, number: str = "") -> str:
    """The player's file as a part of the page. Players of one `number` that replace each other keep what the visitor
    sees; the name tells them that there is a page around them.
    """
    text = html.escape(Path(player).read_text(encoding="utf-8"))
    about = f'name="easi3r-page" data-number="{number}" title="4D player" allow="fullscreen"'
    return f'<iframe {about} srcdoc="{text}"></iframe>'


def first_masks(path: str) -> str:
    """What moves, where the scene will be."""
    video = base64.b64encode(Path(path).read_bytes()).decode()
    said = "This moves, as far as is known now. The scene follows."
    return _looped(f"data:video/mp4;base64,{video}", "What moves", said, "first-masks")


def teaser(path: Path) -> str:
    """A video of what comes out, until there is a result. gr.Video would lay the page out anew 60 times a second."""
    return _looped(address_of(path), "A 4D scene", "What comes out (an example)", "expected")


def address_of(path: str | Path) -> str:
    """Where the page finds a file that gradio may show."""
    return f"gradio_api/file={urllib.parse.quote(str(path))}"


def _looped(address, label, said, name):
    return f"""<figure class="looped" id="{name}"><video src="{address}" autoplay loop muted playsinline
        aria-label="{label}"></video><figcaption>{said}</figcaption></figure>"""
