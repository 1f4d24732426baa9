"""From a name to a backbone."""

from ..errors import InputError


def load_backbone(name="auto", progress=None):
    """A two-view predictor by name; see the README for the list. Raises `InputError` for a name that leads nowhere."""
    from .preview import PreviewBackbone

    if name in ("auto", "preview"):
        return PreviewBackbone()
    raise InputError(f"The backbone {name!r} is unknown; use auto or preview.")
