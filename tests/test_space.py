"""The README's header, the pins and the command that publishes the Space agree: all that can be told without one."""

import re
import shlex
import subprocess
import tomllib
from importlib.metadata import metadata
from pathlib import Path

import huggingface_hub
import pytest
import yaml
from huggingface_hub.cli.hf import app as hf
from huggingface_hub.utils import filter_repo_objects
from packaging.requirements import Requirement
from packaging.version import Version

from easi3r import systems
from easi3r.backbones.weights.hub import files_of

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
HEADER = yaml.safe_load(README.split("---\n")[1])
PINS = {
    requirement.name: requirement.specifier
    for line in (ROOT / "requirements.txt").read_text(encoding="utf-8").splitlines()
    if (text := line.partition("#")[0].strip())
    for requirement in [Requirement(text)]
}
ZERO_GPU_PYTHONS = {"3.10": "3.10.13", "3.12": "3.12.12"}  # what its documentation lists, by what a header may say
COLOURS = {"red", "yellow", "green", "blue", "indigo", "purple", "pink", "gray"}


@pytest.fixture(scope="module")
def files():
    """Paths of the files of the repository, relative to it."""
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=False, capture_output=True, text=True)
    if listed.returncode:
        pytest.skip("this is not a git checkout")
    return [name for name in listed.stdout.split("\0") if name and (ROOT / name).exists()]


@pytest.fixture
def upload(monkeypatch):
    """What the README's command, taken in by the real `hf`, hands to `upload_folder`."""
    asked = {}
    made = type("Url", (), {"repo_id": "OWNER/NAME"})
    monkeypatch.setattr(huggingface_hub.HfApi, "create_repo", lambda self, **arguments: asked.update(arguments) or made)
    monkeypatch.setattr(huggingface_hub.HfApi, "upload_folder", lambda self, **arguments: asked.update(arguments) or "")
    (command,) = re.findall(r"^    hf (upload .*)$", README, re.MULTILINE)
    hf(shlex.split(command), standalone_mode=False)
    return asked


def test_the_header_is_one_that_spaces_accept():
    assert HEADER["sdk"] == "gradio" and (ROOT / HEADER["app_file"]).is_file()
    assert len(HEADER["short_description"]) <= 60 and {HEADER["colorFrom"], HEADER["colorTo"]} <= COLOURS
    assert HEADER["license"] == "mit" and re.fullmatch(r"\d+[mh]", HEADER["startup_duration_timeout"])
    assert isinstance(HEADER["python_version"], str) and isinstance(HEADER["sdk_version"], str)  # YAML: 3.10 is 3.1


def test_the_header_is_of_the_same_gradio_as_the_pins():
    assert str(PINS["gradio"]) == f"=={HEADER['sdk_version']}"
    assert re.fullmatch(r"==[\d.]+", str(PINS["spaces"]))  # tests/zero_gpu.py stands in for the inside of this one


def test_the_requirements_are_those_of_the_package_of_the_page_and_of_the_tests():
    """requirements.txt is what the Space and the README's commands install; what .ci/run checks with is not in it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    extras = project["optional-dependencies"]
    packaged = map(Requirement, [*project["dependencies"], *extras["app"], *extras["dev"]])
    named = {requirement.name: requirement.specifier for requirement in packaged}
    assert {name: pin for name, pin in named.items() if name not in ("mypy", "ruff")} == PINS
    assert not {"gradio", "spaces"} & {Requirement(text).name for text in project["dependencies"]}
    assert {"app", "ray", "sam2", "dev"} == set(extras)


def test_zero_gpu_has_the_python_and_every_requirement_takes_it():
    python = Version(ZERO_GPU_PYTHONS[HEADER["python_version"]])
    for name in PINS:
        wanted = metadata(name)["Requires-Python"]
        assert not wanted or python in Requirement(f"python {wanted}").specifier, name
    tried = re.search(r"for version in (.*); do", (ROOT / ".ci/run").read_text(encoding="utf-8"))[1].split()
    assert HEADER["python_version"] in tried


def test_the_weights_fetched_are_the_ones_of_the_code():
    preloaded = [line.split(" ") for line in HEADER["preload_from_hub"]]
    named = ((card.weights, *(card.on_gpu or ())[:1]) for card in systems() if card.weights)
    hub = list(dict.fromkeys(name for names in named for name in names))
    assert [name for name, _ in preloaded] == hub == HEADER["models"]
    assert all(names == ",".join(files_of(name)) for name, names in preloaded)


def test_every_binary_file_goes_to_lfs(files):
    attributes = (ROOT / ".gitattributes").read_text(encoding="utf-8").splitlines()
    stored = {line.split()[0] for line in attributes if "filter=lfs" in line}
    binary = {f"*{Path(name).suffix}" for name in files if b"\0" in (ROOT / name).read_bytes()}
    assert binary == stored


def test_the_command_uploads_what_the_page_needs(files, upload):
    assert (upload["repo_type"], upload["space_sdk"]) == ("space", "gradio")
    assert (upload["folder_path"], upload["path_in_repo"], upload["allow_patterns"]) == (".", ".", None)
    sent = set(filter_repo_objects(files, ignore_patterns=upload["ignore_patterns"]))
    assert {name.split("/")[0] for name in set(files) - sent} == {"tests", ".ci"}
    assert sent >= {name for name in files if name.startswith(("easi3r/", "examples/"))}
    assert sent >= {"README.md", "app.py", "requirements.txt", ".gitattributes", ".gitignore", "LICENSE"}
