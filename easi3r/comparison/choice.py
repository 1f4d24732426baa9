"""What is compared: systems by name, and what they make without masks or with the user's."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from ..errors import InputError, shown
from ..system import System, registry

MOST = 4  # systems at once: more pictures cannot be told apart on a screen
OWN, NONE, GIVEN = "", "no-masks", "my-masks"
_MASKS = {OWN: "", NONE: " without masks", GIVEN: " with your masks"}  # after the colon of a name -> in its label


@dataclass(frozen=True)
class Entry:
    """One of those compared."""

    name: str  # as asked for: "preview:no-masks"
    base: str  # of the registry: "preview"
    masks: str  # OWN: what the system finds itself; NONE: nothing is masked; GIVEN: the user's
    label: str  # for people: "Preview without masks"
    system: System | None = None  # where it is loaded already
    weights: str | None = None  # to load in place of the registry's, see `load_system`

    @property
    def folder(self) -> str:
        """Of its files; a colon is no part of a name everywhere."""
        return self.name.replace(":", "-")


def choose(
    names: Sequence[str | System], weights: Mapping[str, str] | None = None, has_masks: bool = False
) -> list[Entry]:
    """The `Entry` of each name: NAME of the registry, NAME:no-masks, NAME:my-masks, or a loaded system.

    weights: NAME -> what `load_system` takes for it. has_masks: the user gave masks. Raises `InputError` unless these
    are two to four that differ and are known, and unless masks of the user are given where, and only where, they are
    asked for.
    """
    if isinstance(names, str) or not isinstance(names, Iterable):
        raise InputError(f"names is {shown(names)}; it must be a list, such as ['preview', 'preview:no-masks'].")
    weights = weights or {}
    entries = [_entry(name, weights) for name in names]
    if not 2 <= len(entries) <= MOST:
        named = "1 system is" if len(entries) == 1 else f"{len(entries)} systems are"
        raise InputError(f"{named} named; compare two to four.")
    registry.check_distinct([entry.name for entry in entries])
    wanting = [entry.name for entry in entries if entry.masks == GIVEN]
    if wanting and not has_masks:
        raise InputError(f"{wanting[0]} needs your masks; give them, or leave it out.")
    if has_masks and not wanting:
        raise InputError(f"No system named uses the masks given; add {entries[0].base}:{GIVEN}, or leave them out.")
    unused = set(weights) - {entry.base for entry in entries}
    if unused:
        raise InputError(f"Weights are given for {shown(unused.pop())}, which is not compared; leave them out.")
    return entries


def _entry(name: str | System, weights: Mapping[str, str]) -> Entry:
    if not isinstance(name, str):
        card = getattr(name, "card", None)
        if card is None:
            raise InputError(f"A system is {shown(name)}; give a name, or what load_system gave.")
        return Entry(card.name, card.name, OWN, _short(card.label), name)
    base, _, masks = name.partition(":")
    if masks not in _MASKS or name.endswith(":"):
        raise InputError(f"The system {shown(name)} is unknown; after the colon comes {NONE} or {GIVEN}.")
    if base == "auto":
        raise InputError("auto is one of the other systems; name those to be compared.")
    return Entry(name, base, masks, _short(registry.row_of(base).card.label) + _MASKS[masks], None, weights.get(base))


def _short(label: str) -> str:
    """A label without its explanation: "Preview: runs anywhere, rough depth" -> "Preview"."""
    return re.split("[:,(]", label)[0].strip()
