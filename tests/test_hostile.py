"""A few of the hostile inputs of hostile.py; it tries more."""

import hostile

import easi3r


def test_hostile_inputs_are_read_or_refused_in_a_sentence(tmp_path):
    attempt = hostile.api_attempt(easi3r.load_backbone("preview"))
    outcomes, _, failures = hostile.tries(40, 0, attempt, hostile.seeds(tmp_path / "valid"))
    assert not failures and outcomes["read"] > 3 and outcomes["refused"] > 10


def test_damaged_tiffs_are_refused_without_a_word_on_stderr(tmp_path):
    """Pillow and OpenCV have much to say about these."""
    valid = [path for path in hostile.seeds(tmp_path / "valid") if path.suffix == ".tif"]
    attempt = hostile.api_attempt(easi3r.load_backbone("preview"))
    outcomes, _, failures = hostile.tries(40, 0, attempt, valid)
    assert not failures and outcomes["refused"] > 5
