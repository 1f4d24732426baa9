"""What a visitor can compare: what can run here, why the rest cannot, and what a comparison would take."""

from collections.abc import Sequence
from dataclasses import dataclass

from ..backbones.weights import has_gpu
from ..comparison.choice import GIVEN, MOST, NONE, choose
from ..errors import InputError
from ..options import Options
from ..system import SystemCard, registry
from . import clips
from .clips import Chosen
from .compute import ON_ZERO_GPU
from .pool import POOL

PREVIEW = "preview"
ALWAYS = PREVIEW, f"{PREVIEW}:{NONE}", f"{PREVIEW}:{GIVEN}"  # what runs everywhere
AT_FIRST = ALWAYS[:2]  # ticked when the page opens


@dataclass(frozen=True)
class Choice:
    """One box to tick."""

    name: str  # as of `comparison.choose`
    label: str
    hint: str  # what to know of it
    ready: bool  # whether it can run here now


def choices() -> list[Choice]:
    """All there are: the preview in three ways, then what needs weights."""
    ways = ["", "everything is taken for static", "your masks, from the settings"]
    always = [
        Choice(entry.name, entry.label, way or "finds what moves by itself", True)
        for entry, way in zip(choose(ALWAYS, has_masks=True), ways)
    ]
    return always + [_with_weights(card) for card in registry.systems() if card.weights]


def _with_weights(card: SystemCard) -> Choice:
    if registry.is_cached(card.name):
        return Choice(card.name, card.label, ("" if has_gpu() else "no GPU here: slow; ") + card.licence, True)
    return Choice(card.name, card.label, f"its weights are not here ({card.download_mb / 1000:.1f} GB)", False)


def to_fetch() -> list[SystemCard]:
    """A system for each file of weights that is not here."""
    missing = {card.weights: card for card in reversed(registry.systems()) if not registry.is_cached(card.name)}
    return list(reversed(missing.values()))


def plan(taken: Chosen | None, frames: int, names: Sequence[str], has_masks: bool, sharper: bool = False) -> str:
    """What a comparison of these will take, in a sentence; shown before the click. sharper: `Options.sam2`."""
    if taken is None:
        return clips.CHOOSE
    if taken.problem:
        return f"⚠️ {taken.problem}"
    if not 2 <= len(names) <= MOST:
        return f"⚠️ Tick two to {MOST}; {len(names) or 'none'} {'is' if len(names) == 1 else 'are'} ticked."
    try:
        entries = choose(names, None, has_masks)
    except InputError as error:
        return f"⚠️ {error}"
    n_frames = min(int(frames), taken.n_frames)
    options = [Options(sam2=sharper and entry.masks != NONE) for entry in entries]
    plans = [POOL.plan(entry.base, n_frames, how)[1] for entry, how in zip(entries, options)]
    seconds = clips.rough(sum(planned.seconds for planned in plans))
    said = f"{n_frames} frames, {len(entries)} runs one after another: **about {seconds}**."
    leased = [round(p.gpu_seconds) for p in plans if p.gpu_seconds]
    if ON_ZERO_GPU and leased:
        each = " + ".join(map(str, leased))
        said += f" Each asks for a GPU of its own: {each} seconds of your day's share at most."
    return said
