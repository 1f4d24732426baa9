"""Weights from the Hugging Face hub: cached, resumed, with progress, and quick to say that there is no network."""

import os
import threading
from pathlib import Path

import huggingface_hub
from huggingface_hub import constants
from huggingface_hub.errors import (
    FileMetadataError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    RepositoryNotFoundError,
)
from huggingface_hub.file_download import http_get, repo_folder_name
from huggingface_hub.utils import WeakFileLock, build_hf_headers
from tqdm import tqdm

from ...errors import InputError, shown
from ..base import Progress

FILES = ("config.json", "model.safetensors")
OTHER_FILES = {"liguang0115/cut3r": ("cut3r_512_dpt_4_64.pth",)}  # repositories that hold something else
PATIENCE = 4.0  # seconds to find out whether the hub answers; the library's own retries take half a minute


def files_of(repository: str) -> tuple[str, ...]:
    """Names of the files that are fetched from a repository."""
    return OTHER_FILES.get(repository, FILES)


def cached(repository: str) -> str | None:
    """Path of a repository's files if all are in the cache, else None: of their folder, or of the file if it is one.

    No network. Files brought there by hand count as well, in a folder owner/name; see `_by_hand`.
    """
    names = files_of(repository)
    there = [_by_hand(repository) / name for name in names]
    if all(path.is_file() for path in there):
        return _path(str(there[0]), names)
    paths = [huggingface_hub.try_to_load_from_cache(repository, name) for name in names]
    found = [path for path in paths if isinstance(path, str)]
    return _path(found[0], names) if len(found) == len(names) else None


def _path(file, names):
    return file if len(names) == 1 else os.path.dirname(file)


def fetch(repository: str, progress: Progress | None = None, otherwise: str = "use the preview") -> str:
    """Path of the files of a hub repository ("owner/name"), as `cached` gives it, downloaded unless cached.

    otherwise: what can be done without the hub, in a sentence for the user.

    A download that was cut off goes on where it stopped. Raises `InputError`, within 5 seconds, if the hub cannot be
    reached and the files are not cached, and if the repository does not exist or lacks the files.
    """
    try:
        there = cached(repository)
        if there:
            return there
        _check_reachable(repository, otherwise)
        names = files_of(repository)
        for name in names:
            _fetch_blob(repository, name, _bar(progress) if progress else None)
            path = huggingface_hub.hf_hub_download(repository, name, endpoint=_endpoint())  # finds it there, links it
        return _path(path, names)
    except InputError:
        raise
    except HFValidationError:
        raise InputError(f"{shown(repository)} is no name of a model on the hub; it must read owner/name.") from None
    except GatedRepoError:
        raise InputError(f"The model {repository} asks for consent: log in and accept its terms there.") from None
    except RepositoryNotFoundError:
        raise InputError(f"There is no model {repository} on the hub; check the name.") from None
    except HfHubHTTPError as error:
        if error.response is not None and error.response.status_code == 404:
            lacking = " or ".join(files_of(repository))
            raise InputError(f"The model {repository} lacks {lacking}; it cannot be used.") from None
        raise _interrupted(repository, error) from error
    except (OSError, HTTPError, FileMetadataError) as error:
        raise _interrupted(repository, error) from error


def _fetch_blob(repository, name, bar):
    """Put the content of a file where the library's cache keeps it, going on with what an earlier try left there.

    The library itself goes on within a call only; it deletes its partial file when the call fails.
    """
    url = huggingface_hub.hf_hub_url(repository, name, endpoint=_endpoint())
    metadata = huggingface_hub.get_hf_file_metadata(url, endpoint=_endpoint())
    cache, name = Path(constants.HF_HUB_CACHE), repo_folder_name(repo_id=repository, repo_type="model")
    blob = cache / name / "blobs" / metadata.etag
    partial, lock = blob.with_name(f"{metadata.etag}.partial"), cache / ".locks" / name / f"{metadata.etag}.lock"
    for path in (blob, lock):
        path.parent.mkdir(parents=True, exist_ok=True)
    with WeakFileLock(lock):  # the library's own, as others may be fetching the same
        if blob.exists():
            return
        with partial.open("ab") as file:
            have, size = file.tell(), metadata.size
            http_get(url, file, resume_size=have, headers=build_hf_headers(), expected_size=size, tqdm_class=bar)
        partial.rename(blob)


def _interrupted(repository, error):
    reason = (str(error).strip() or type(error).__name__).splitlines()[0]
    return InputError(f"Fetching {repository} stopped ({reason}); run it again to go on where it stopped.")


def _by_hand(repository):
    return Path(constants.HF_HUB_CACHE) / repository


def _endpoint():
    return os.environ.get("HF_ENDPOINT") or constants.ENDPOINT


def _check_reachable(repository, otherwise):
    """Raise `InputError` unless the hub answers about a repository within `PATIENCE` seconds; refusals pass through.

    The question runs in a thread because looking up a host name has no timeout of its own.
    """
    outcome = []

    def ask():
        url = huggingface_hub.hf_hub_url(repository, files_of(repository)[0], endpoint=_endpoint())
        try:
            outcome.append(huggingface_hub.get_hf_file_metadata(url, timeout=PATIENCE - 1, endpoint=_endpoint()))
        except Exception as error:  # noqa: BLE001 - judged below, in the caller's thread
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(PATIENCE)
    if outcome and isinstance(outcome[0], (HfHubHTTPError, HFValidationError)):
        raise outcome[0]
    if not outcome or isinstance(outcome[0], Exception):
        names = " and ".join(files_of(repository))
        raise InputError(
            f"The weights of {repository} are not on this machine and the model hub cannot be reached; connect to the "
            f"internet once, put its {names} into '{_by_hand(repository)}', or {otherwise}."
        )


def _bar(progress):
    """A tqdm class that reports to `progress(fraction, text)` instead of drawing."""

    class Bar(tqdm):
        def __init__(self, *args, **kwargs):
            kwargs.pop("name", None)
            super().__init__(*args, **{**kwargs, "disable": True})

        def update(self, n=1):
            self.n += n or 0
            if self.total:
                text = f"Downloading weights: {self.n / 1e9:.2f} of {self.total / 1e9:.2f} GB"
                progress(min(1.0, self.n / self.total), text)

    return Bar
