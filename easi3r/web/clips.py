"""What a visitor chose: looked at as quickly as can be, shown, and what a run would make of it."""

import base64
import html
import io
import logging
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from PIL import Image

from .. import stills, survey
from ..camera import Framing
from ..errors import InputError
from ..options import Options
from ..sources import Stills, Zipped, natural, open_source
from ..spans import AT_ONCE, spans_of
from ..system import registry
from ..system.preview import Preview
from .pool import POOL
from .texts import address_of

CHOOSE = "Choose a clip or one of the examples below."
UNSEEN = "Your browser cannot play this kind of clip. It can be used all the same; this is its first frame."
TO_STILL = "this.style.display = 'none'; this.nextElementSibling.hidden = false"
MOVING_IMAGES = (".gif", ".webp", ".png", ".apng", ".avif")  # browsers play these as images
STILL_SIDE = 640  # pixels; the first frame shown where the browser cannot play a clip, on a page 1280 wide
UNPACKED = 3  # photos of a zip, as some may be damaged
OFFERED = "da3"  # the system whose weights the page offers to fetch
# Shares of the computing after which there is something to see: what moves, a scene to turn; measured on street in the
# page, three times: 0.37 and 0.67 to 0.70.
FIRST = {"preview": (0.4, 0.7)}
WRITING = 0.6  # seconds per frame of 512 x 288 until all files are written, after that; measured on street, two cores
DISK = 45  # bytes on the disk per pixel used while a long clip is computed and written, beside the files
SHORT = 20  # seconds; what is done so soon is not told step by step
FEW = 6  # frames; below, a run says that there are too few to tell much
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Chosen:
    """What a visitor chose; `problem` is a sentence where it cannot be used, and the fields below it are not filled."""

    source: str | list  # as of `video.read`
    name: str
    problem: str = ""
    size: tuple = ()  # (width, height) of the source, pixels
    n_frames: int = 0
    seconds: float | None = None  # length; None for photos
    still: str = ""  # the first frame, a JPEG as a data URL

    @property
    def there(self) -> bool:
        """Whether its files still are."""
        return all(Path(path).exists() for path in ([self.source] if isinstance(self.source, str) else self.source))


def choose(paths: list) -> Chosen:
    """`Chosen` of uploaded files: one video, one zip, or photos. Never raises."""
    name = Path(paths[0]).name if len(paths) == 1 else f"{len(paths)} files"
    try:
        source = source_of(paths)
        opened = open_source(source)
        wanted = range(len(opened.seconds))  # the first frame that can be had
        wanted = wanted[:UNPACKED] if isinstance(opened, Zipped) else wanted
        with closing(opened.read(wanted, STILL_SIDE)) as frames:
            _, first, size = next(frames)
        survey.check_size(opened.name, size)
    except InputError as error:
        return Chosen(list(paths), name, str(error))
    except Exception:  # noqa: BLE001 - a bug: the visitor gets a sentence, the server's log gets the trace
        _log.exception("A clip could not be looked at")
        sentence = f"'{name}' cannot be used: something went wrong on our side. Try another clip."
        return Chosen(list(paths), name, sentence)
    times, n = opened.seconds, len(opened.seconds)
    seconds = None if isinstance(opened, Stills) else float(times[-1] - times[0]) * n / max(1, n - 1)
    return Chosen(source, name, "", size, n, seconds, _data_url(first))


def source_of(paths: list) -> str | list[str]:
    """The source, as of `video.read`, that uploaded files are: a path, or photos in natural order (2 before 10).

    Raises `InputError` where several files are not all photos.
    """
    if len(paths) == 1:
        return str(paths[0])
    for path in map(Path, paths):
        if path.suffix.lower() not in stills.SUFFIXES:
            raise InputError(
                f"These are {len(paths)} files and '{path.name}' is not a photo; "
                "choose one video or one zip, or only photos."
            )
    return [str(path) for path in sorted(map(Path, paths), key=natural)]


def _data_url(image):
    file = io.BytesIO()
    Image.fromarray(image).save(file, "jpeg", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()


def preview(taken: Chosen) -> str:
    """The clip where the browser can play it; the browser knows best. Else its first frame, and a sentence."""
    still = f'<img src="{taken.still}" alt="The first frame">'
    if taken.problem or taken.seconds is None or isinstance(taken.source, list):
        return still
    address = address_of(taken.source)
    instead = f"<figure hidden>{still}<figcaption>{UNSEEN}</figcaption></figure>"
    if Path(taken.source).suffix.lower() in MOVING_IMAGES:
        return f'<div><img src="{address}" alt="The clip" onerror="{TO_STILL}">{instead}</div>'
    # a codec that is not known, with sound that is, gives no error but a picture of no width
    return f"""<div><video src="{address}" poster="{taken.still}" controls muted playsinline preload="metadata"
        onerror="{TO_STILL}" onloadedmetadata="if (!this.videoWidth) {{ {TO_STILL} }}"></video>{instead}</div>"""


def plan(taken: Chosen | None, frames: int, name: str, sharper: bool = False) -> str:
    """What a run will do, when there is what to see, and with what; shown before Run. Also tells at once when a clip
    cannot be used.

    frames: 0: every one. sharper: `Options.sam2`.
    """
    if taken is None:
        return CHOOSE
    if taken.problem:
        return f"⚠️ {taken.problem}"
    n_frames = min(int(frames) or taken.n_frames, taken.n_frames)
    card, planned = POOL.plan(name, n_frames, Options(sam2=sharper))
    done = "compared with each other" if planned.pairs and n_frames > 1 else "looked at"
    said = f"{_moments(taken, n_frames)} {done}{_when(card.name, planned, sharper)}"
    if planned.download_mb:
        said += f" {planned.download_mb / 1000:.1f} GB of weights are fetched on first use, before that."
    width, height = taken.size
    length = _number(taken.n_frames, "photo") if taken.seconds is None else f"{taken.seconds:.1f} s"
    n_pairs = "" if planned.pairs is None else f", {planned.pairs if n_frames > 1 else 'no'} pairs"
    said += _slow(card, n_frames) + _long(n_frames, taken.size)
    return (
        f"{said}{_doubt(n_frames)}\n\n"
        f"<small>{html.escape(taken.name)}: {width} x {height}, {length}. {_number(n_frames, 'frame')}{n_pairs}, with "
        f"{card.name if card.weights is None else card.label}.</small>"
    )


def _moments(taken, n_frames):
    """What of the clip is used, the beginning of a sentence."""
    if taken.n_frames == 1:
        return "Your **one picture** is"
    every = n_frames == taken.n_frames
    if taken.seconds is None:
        return f"Your **{n_frames} photos** are" if every else f"**{n_frames} of your {taken.n_frames} photos** are"
    which = f"**All {n_frames} pictures** of" if every else f"**{n_frames} moments** spread over"
    return f"{which} your {taken.seconds:.{int(taken.seconds < 10)}f} s clip are"


def _slow(card, n_frames):
    """What is quicker than the plan, which does not know how fast the picture changes."""
    quick = card.name == "preview" and n_frames > Preview.each
    return " Where the picture changes slowly, it takes a third to half of that." if quick else ""


def _long(n_frames, size):
    """What a long clip needs."""
    if n_frames <= AT_ONCE:
        return ""
    width, height = Framing.fit(size, 512, 16).size
    disk = DISK * n_frames * width * height / 1e9
    return (
        f" That is long: it is solved in up to {len(spans_of(n_frames))} parts, of which you see the first early. It "
        f"takes about 2 GB of memory, however long it is, and {max(0.1, disk):.1f} GB of disk meanwhile."
    )


def _when(name, planned, sharper):
    """When there is what to see, the end of a sentence and another."""
    done = planned.seconds + WRITING * planned.frames
    if name not in FIRST or sharper or planned.seconds < SHORT or planned.frames > AT_ONCE:
        return f". In **about {rough(planned.seconds)}** you see what moves and can turn the scene."
    masks, scene = (rough(share * planned.seconds) for share in FIRST[name])
    return (
        f". What moves shows after about {masks}, a first scene to turn after {scene}; "
        f"all is there in **about {rough(done)}**."
    )


def offer() -> str:
    """What can be fetched so that "auto" gives depth instead of a rough guess; empty where it does so already."""
    if registry.likely() != "preview":
        return ""
    card, planned = POOL.plan(OFFERED, Options.max_frames, Options())
    return (
        f"Fetch Depth Anything 3 for real depth ({card.download_mb} MB, {card.licence}; "
        f"{Options.max_frames} frames then take about {rough(planned.seconds)})"
    )


def _doubt(n_frames):
    if n_frames == 1:
        return "  \n⚠️ From one picture depth is a guess, and nothing can be seen to move. Use a video or more photos."
    return "  \n⚠️ That is few: depth and motion become clearer with ten frames or more." if n_frames < FEW else ""


def _number(n, word):
    return f"{n} {word}" + "s" * (n != 1)


def rough(seconds: float) -> str:
    """A duration in words, no more exact than it is known."""
    return f"{max(5, round(seconds / 5) * 5)} seconds" if seconds < 100 else f"{round(seconds / 60)} minutes"
