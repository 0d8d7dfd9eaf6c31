import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax as scipy_softmax

from dau_lightning.evaluation.outputs import FILE, Outputs, confidence, read_outputs, softmax


def evidence(**changes):
    about = {"labels": {"original": "Original", "dau": "DAU"}, "method": "dau", "title": "", "class_names": [], "ids": []}
    return Outputs(**({"arrays": {"forget/targets": np.zeros(1, np.int64)}} | about | changes))


def test_what_was_written_is_read(tmp_path):
    kept = evidence(arrays={"dau/forget/logits": np.ones((2, 3), np.float16), "forget/targets": np.array([0, 2])})
    save_file(kept.arrays, tmp_path / FILE, kept.about())
    read = read_outputs(tmp_path)
    assert read.about() == kept.about()
    assert read.arrays.keys() == kept.arrays.keys()
    assert all(np.array_equal(read.arrays[name], array) for name, array in kept.arrays.items())


def test_no_file_is_no_evidence(tmp_path):
    assert read_outputs(tmp_path) is None


def written(path, kind):
    """A file that is no evidence, or no longer."""
    save_file(evidence().arrays, path, evidence().about() if kind not in ("weights", "other names") else {})
    if kind == "no safetensors":
        path.write_bytes(b"nothing of the kind")
    elif kind == "other names":
        save_file({"a": np.ones(2)}, path, {"about": '{"labels": 1}'})
    elif kind == "truncated":
        path.write_bytes(path.read_bytes()[:-1])
    elif kind == "other numbers":
        path.write_bytes(path.read_bytes()[:-1] + b"\1")
    elif kind == "other words":
        path.write_bytes(path.read_bytes().replace(b"DAU", b"UAD"))


@pytest.mark.parametrize("kind", ["no safetensors", "weights", "other names", "truncated", "other numbers", "other words"])
def test_a_file_that_is_no_evidence_is_set_aside(tmp_path, kind):
    written(tmp_path / FILE, kind)
    with pytest.warns(UserWarning, match=r"cannot be used \(it is no evidence of a run.*overwrite=true makes it again"):
        assert read_outputs(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == [f"{FILE}.bad"]


def test_probabilities_of_scipy():
    logits = np.random.default_rng(0).normal(0, 30, (5, 4)).astype(np.float32)
    targets = np.array([0, 1, 2, 3, 0])
    expected = scipy_softmax(logits, axis=1)
    np.testing.assert_allclose(softmax(logits), expected, rtol=1e-5)
    np.testing.assert_allclose(confidence(logits, targets), expected[np.arange(5), targets], rtol=1e-5)


@pytest.mark.parametrize(
    ("labels", "method", "stages"),
    [
        (("retrain", "original", "dau"), "dau", ["original (before)", "dau (after)", "retrain (reference)"]),
        (("original", "dau"), "dau", ["original (before)", "dau (after)"]),
        (("retrain", "original"), "retrain", ["original (before)", "retrain (reference)"]),
        (("retrain", "original"), "original", ["original (before)", "retrain (reference)"]),
    ],
)
def test_before_after_reference(labels, method, stages):
    found = evidence(labels={kind: kind for kind in labels}, method=method)
    assert list(found.stages.values()) == stages


def test_a_label_that_says_when_is_not_told_twice():
    found = evidence(labels={"original": "Before", "dau": "DAU"})
    assert list(found.stages.values()) == ["Before", "DAU (after)"]


@pytest.mark.parametrize(("forgotten", "unseen"), [([0, 0], "test_forget"), ([0, 1], "test_retain"), ([1, 1], "test_retain")])
def test_forgotten_images_are_compared_with_unseen_ones_of_their_class(forgotten, unseen):
    arrays = {"forget/targets": np.array(forgotten), "retain/targets": np.array([1, 2]), "test_retain/targets": np.array([2])}
    assert evidence(arrays=arrays).unseen == "test_retain"
    assert evidence(arrays=arrays | {"test_forget/targets": np.zeros(1)}).unseen == unseen
