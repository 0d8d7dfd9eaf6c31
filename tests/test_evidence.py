import numpy as np
import pytest
from safetensors.numpy import save_file
from scipy.special import softmax as scipy_softmax

from dau_lightning.error import InputError
from dau_lightning.evidence import FILE, Evidence, confidence, read_evidence, softmax


def evidence(**changes):
    about = {"labels": {"original": "Original", "dau": "DAU"}, "method": "dau", "title": "", "class_names": [], "ids": []}
    return Evidence(**({"arrays": {"forget/targets": np.zeros(1, np.int64)}} | about | changes))


def test_what_was_written_is_read(tmp_path):
    written = evidence(arrays={"dau/forget/logits": np.ones((2, 3), np.float16), "forget/targets": np.array([0, 2])})
    save_file(written.arrays, tmp_path / FILE, written.about())
    read = read_evidence(tmp_path)
    assert read.about() == written.about()
    assert read.arrays.keys() == written.arrays.keys()
    assert all(np.array_equal(read.arrays[name], array) for name, array in written.arrays.items())


def test_no_file_is_no_evidence(tmp_path):
    assert read_evidence(tmp_path) is None


@pytest.mark.parametrize("kind", ["no safetensors", "weights", "other names"])
def test_another_file_is_refused(tmp_path, kind):
    if kind == "no safetensors":
        (tmp_path / FILE).write_bytes(b"nothing of the kind")
    else:
        save_file({"a": np.ones(2)}, tmp_path / FILE, {} if kind == "weights" else {"about": '{"labels": 1}'})
    with pytest.raises(InputError, match=r"evidence\.safetensors is no evidence of a run"):
        read_evidence(tmp_path)


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
