"""The one error that is the user's to mend."""

_LONGEST = 100  # characters of a value in a message; more than a line of them hides what is said about it


class InputError(ValueError):
    """Something the user gave cannot be used.

    The message is one sentence or two for a person who does not program: what is wrong with which value, what is
    allowed, what to do. The page, the command line (exit code 2) and Python callers all show it as it is.
    """


class DamagedError(InputError):
    """One file holds nothing that can be used; where it is one of many, the others do without it."""


def shown(value: object) -> str:
    """`value` as a message quotes it: on one line, the middle left out if it is long."""
    try:
        return shortened(" ".join(repr(value).split()))
    except Exception:  # noqa: BLE001 - whatever a repr raises; a whole number of thousands of digits does
        return f"a {type(value).__name__}"


def shortened(text: str) -> str:
    """`text` without its middle if it is long; the end stays, as it is the name in a path."""
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]}...{text[-_LONGEST // 2 :]}"
