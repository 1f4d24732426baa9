"""The endpoint for programs, called as they call it."""

import json
import urllib.request
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from test_uploads import HOSTILE, bad_file

from easi3r import Options, video

pytestmark = pytest.mark.usefixtures("few_pairs")

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.fixture(scope="module")
def client(address):
    return Client(address, verbose=False)


def test_the_endpoint_takes_every_option_and_masks(client, walk, tmp_path):
    drawn = np.zeros((4, 64, 96, 3), np.uint8)
    drawn[:, 15:45, 20:70] = 255
    video.write(tmp_path / "mask.mp4", drawn, 8)
    chosen = {"max_frames": 3, "sensitivity": 0.7, "fov": 70, "refine": False, "flow": False, "smooth": False}
    chosen["graph"] = "swin-2"
    given = {"clip": handle_file(str(walk)), "masks": handle_file(str(tmp_path / "mask.mp4")), "backbone": "preview"}
    archive, report = client.predict(**given, **chosen, api_name="/reconstruct")
    assert report["frames"] == 3 and report["backbone"]["name"] == "preview" and report["masks"] == "given by the user"
    assert {**report["options"], **chosen} == report["options"]
    with zipfile.ZipFile(archive) as file:
        assert "poses.txt" in file.namelist()
    (endpoint,) = client.view_api(return_format="dict", print_info=False)["named_endpoints"].values()
    parameters = {p["parameter_name"]: p["parameter_default"] for p in endpoint["parameters"]}
    assert {**parameters, **asdict(Options())} == parameters  # a new option is there by itself


def test_the_endpoint_writes_only_the_files_asked_for_with_the_system_asked_for(client, walk):
    clip = handle_file(str(walk))
    wanted = {"max_frames": 2, "system": "preview", "files": ["poses.txt", "masks"]}
    archive, report = client.predict(clip=clip, **wanted, api_name="/reconstruct")
    with zipfile.ZipFile(archive) as file:
        assert {name.split("/")[0] for name in file.namelist()} == {"poses.txt", "masks"}
    assert report["system"] == "preview" and report["frames"] == 2


HAND_OVER = "must be a file, or a list of files; hand it over as handle_file('my-clip.mp4')."


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"fov": "wide"}, "fov is 'wide'; it must be a number from 5 to 170, or be left out."),
        ({"max_frames": 2.5}, 'max_frames is 2.5; it must be a whole number from 0 to 5000, or "all".'),
        ({"max_frames": True}, 'max_frames is True; it must be a whole number from 0 to 5000, or "all".'),
        ({"sensitivity": [1]}, "sensitivity is [1]; it must be a number from 0 to 1."),
        ({"refine": "no"}, "refine is 'no'; it must be True or False."),
        ({"graph": 3}, "graph is 3; it must be a text such as 'swinstride-5-noncyclic'."),
        ({"backbone": "/etc"}, "backbone is '/etc'; it must be one of auto, preview, dust3r, monst3r."),
        (
            {"system": "/etc"},
            (
                "system is '/etc'; it must be one of auto, preview, easi3r-dust3r, easi3r-monst3r, dust3r, monst3r, "
                "das3r, cut3r, da3."
            ),
        ),
        ({"masks": "mask.mp4"}, f"masks {HAND_OVER}"),
        ({"clip": None}, f"clip {HAND_OVER}"),
    ],
)
def test_the_endpoint_says_what_is_wrong_in_a_sentence(client, walk, capfd, given, sentence):
    with pytest.raises(AppError) as error:
        client.predict(**{"clip": handle_file(str(walk)), **given}, api_name="/reconstruct")
    assert str(error.value) == sentence
    assert "Traceback" not in capfd.readouterr().err


def test_a_program_cannot_name_files_of_the_server(address, walk):
    """Sent without the client library, which would upload what it finds under the path."""
    mark = {"meta": {"_type": "gradio.FileData"}}
    around = f"{EXAMPLES}{'/..' * len(EXAMPLES.parts[1:])}{walk}"
    for file in (
        str(walk),
        {"path": str(walk)},
        {"path": str(walk), **mark},
        {"path": around, **mark},
        {"path": str(walk), "is_stream": True, **mark},
        [{"path": str(walk), **mark}],
    ):
        others = [value for name, value in asdict(Options()).items() if name not in ("max_frames", "sensitivity")]
        data = [file, 2, "preview", 0.5, None, *others]
        call = {"data": json.dumps({"data": data}).encode(), "headers": {"Content-Type": "application/json"}}
        url = f"{address}gradio_api/call/reconstruct"
        event = json.load(urllib.request.urlopen(urllib.request.Request(url, **call), timeout=20))["event_id"]
        answer = urllib.request.urlopen(f"{url}/{event}", timeout=60).read().decode()
        assert answer.startswith("event: error") and "zip" not in answer, file


@pytest.mark.parametrize("name", HOSTILE)
def test_files_that_reach_elsewhere_get_a_sentence_and_no_frames(client, tmp_path, name):
    with pytest.raises(AppError, match=HOSTILE[name]):
        client.predict(
            clip=handle_file(str(bad_file(tmp_path, name))), max_frames=2, backbone="preview", api_name="/reconstruct"
        )
