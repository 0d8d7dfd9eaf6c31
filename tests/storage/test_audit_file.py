"""`audit.json` and `audit.safetensors`."""

import json

import numpy as np
import pytest

from dau_lightning.storage.audit_file import add_scores, read_audit, write_audit
from dau_lightning.storage.seal import load_tensors


def test_what_is_written_is_read_for_the_same_weights_alone(tmp_path):
    assert read_audit(tmp_path, "w")["tests"] == {}
    content = read_audit(tmp_path, "w") | {"tests": {"tow": {"verdict": "pass"}}}
    write_audit(tmp_path, content)
    assert read_audit(tmp_path, "w") == content
    assert read_audit(tmp_path, "other")["tests"] == {}


@pytest.mark.parametrize("damage", ["{", "[]", json.dumps({"weights": "w", "tests": {}, "sha256": "x"})])
def test_a_damaged_file_is_set_aside(tmp_path, damage):
    (tmp_path / "audit.json").write_text(damage)
    with pytest.warns(UserWarning, match="audit.json cannot be used"):
        assert read_audit(tmp_path, "w")["tests"] == {}
    assert (tmp_path / "audit.json.bad").is_file()


def test_scores_are_added_to_those_of_other_tests(tmp_path):
    add_scores(tmp_path, {})
    add_scores(tmp_path, {"rmia/method/forget": np.arange(3.0)})
    add_scores(tmp_path, {"ulira/method/forget": np.arange(2.0)})
    found, _ = load_tensors(tmp_path / "audit.safetensors", "numpy")
    assert {name: len(array) for name, array in found.items()} == {"rmia/method/forget": 3, "ulira/method/forget": 2}
