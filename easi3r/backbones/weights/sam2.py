"""SAM 2's weights: which there are, and from a folder to transformers' model, without what its loader forgives.

Source: specification sam2.md, sections 2 to 4. transformers is imported when it is asked for: it takes seconds.
"""

import contextlib
import json
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ...errors import InputError
from ...paths import quoted
from ..base import Progress

MEGABYTES = {"tiny": 156, "small": 184, "base-plus": 323, "large": 898}  # of SAM 2.1's weights on the hub, Apache-2.0
INSTALL = 'pip install "transformers>=5.24,<6"'
_PATCH = 32  # pixels: the network's size is a multiple of it
_STRIDES = (4, 8, 16)  # of the three maps that the encoder gives


def repository(name: str) -> str:
    """The hub id of one of `MEGABYTES`; anything else as it is."""
    return f"facebook/sam2.1-hiera-{name}" if name in MEGABYTES else name


def default(published: bool = False) -> str:
    """Which of `MEGABYTES` is meant where none is named: the published one, or what this machine is fast enough for."""
    from . import has_gpu

    return "large" if published or has_gpu() else "tiny"


def to_fetch() -> int:
    """Megabytes that must be fetched before the default can run here."""
    from . import hub

    return 0 if hub.cached(repository(default())) else MEGABYTES[default()]


def installed() -> bool:
    """Whether transformers is there, without importing it."""
    return find_spec("transformers") is not None


def library() -> Any:
    """transformers, with SAM 2 in it. Raises `InputError` where it is missing, too old or cannot be imported."""
    if not installed():
        raise InputError(f"SAM 2 needs the library transformers, which is not installed; {INSTALL}.")
    try:
        import transformers

        _ = transformers.Sam2VideoModel, transformers.Sam2VideoConfig  # imported now, not when first used
    except (ImportError, AttributeError, RuntimeError) as error:
        with contextlib.suppress(PackageNotFoundError):  # not needed, but it spoils the import where it does not fit
            raise InputError(
                f"SAM 2 cannot be used: torchvision {version('torchvision')} does not fit torch {version('torch')}; "
                "remove it or install the fitting one."
            ) from error
        raise InputError(f"SAM 2 is not in transformers {version('transformers')}; {INSTALL}.") from error
    return transformers


def find(source: str, progress: Progress | None = None) -> str:
    """The folder with SAM 2's weights: `source` itself, or that of one of `MEGABYTES` or a hub id, fetched if need be.

    Raises `InputError` if it cannot be had.
    """
    from . import hub, is_hub_id

    place, wanted = Path(source), repository(source)
    if source not in MEGABYTES and place.exists():
        if not place.is_dir():
            raise InputError(f"{quoted(place)} is a file; give the folder with SAM 2's {' and '.join(hub.FILES)}.")
        return source
    if not is_hub_id(wanted):
        sizes = ", ".join(MEGABYTES)
        raise InputError(
            f"The weights {quoted(source)} of SAM 2 are unknown; use {sizes}, a hub id (owner/name) or a folder."
        )
    size = next((f" ({mb} MB)" for name, mb in MEGABYTES.items() if repository(name) == wanted), "")
    return hub.fetch(wanted, progress, f"give a folder that holds them{size}, or go on without SAM 2")


def check(progress: Progress | None = None) -> None:
    """Raise `InputError` unless SAM 2 can be used where its weights are not named; fetches these."""
    library()
    find(default(), progress)


def load(folder: str, size: int | None = None) -> Any:
    """transformers' `Sam2VideoModel` in float32 on the CPU, from a folder with config.json and model.safetensors.

    size: of the square that frames become, pixels; None: the configuration's; larger ones become that. No weight
    depends on it. Raises `InputError` for what cannot be read, is not SAM 2, or leaves a parameter without a value:
    the library would go on with random ones.
    """
    transformers = library()
    settings = _settings(Path(folder))
    from safetensors import SafetensorError

    try:
        with _quiet(transformers):
            config = transformers.Sam2VideoConfig.from_dict(settings)
            _resize(config, size)
            model, found = transformers.Sam2VideoModel.from_pretrained(
                folder, config=config, local_files_only=True, output_loading_info=True, dtype="float32"
            )
    except (OSError, RuntimeError, SafetensorError, ValueError, TypeError, KeyError, AttributeError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(f"SAM 2 cannot be loaded from {quoted(folder)}: {reason[:200]}") from error
    wanting = [*found["missing_keys"], *found["mismatched_keys"]]
    if wanting:
        raise InputError(
            f"The weights in {quoted(folder)} are not SAM 2's: {len(wanting)} parameters have no fitting value there, "
            f"such as {min(map(str, wanting))}; fetch them again."
        )
    return model.eval()


def _settings(folder):
    """What config.json says, a dict; the library would take its own defaults where there is none."""
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError:
        raise InputError(f"{quoted(folder)} has no config.json that can be read; SAM 2 needs it.") from None
    except ValueError:
        raise InputError(f"The config.json in {quoted(folder)} is not JSON; fetch it again.") from None
    kind = settings.get("model_type", "sam2_video") if isinstance(settings, dict) else None
    if kind != "sam2_video":
        raise InputError(f"The config.json in {quoted(folder)} is of a {kind}, not of a sam2_video model; give that.")
    return settings


def _resize(config, size):
    """Let a configuration take frames of `size`, pixels, in place of larger ones."""
    own = config.image_size
    if size is None or size >= own:
        return
    assert size % _PATCH == 0, size
    config.image_size = config.prompt_encoder_config.image_size = size
    config.memory_attention_rope_feat_sizes = [size // _STRIDES[-1]] * 2
    config.vision_config.backbone_feature_sizes = [[size // stride] * 2 for stride in _STRIDES]


@contextlib.contextmanager
def _quiet(transformers: Any) -> Iterator[None]:
    """Without the library's bars and reports, which would land in the terminal; what is wrong is judged here."""
    log = transformers.utils.logging
    before, bars = log.get_verbosity(), log.is_progress_bar_enabled()
    log.set_verbosity_error()
    log.disable_progress_bar()
    try:
        yield
    finally:
        log.set_verbosity(before)
        if bars:
            log.enable_progress_bar()
