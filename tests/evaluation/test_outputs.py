import numpy as np
import pytest
from scipy.special import log_softmax

from dau_lightning.evaluation.outputs import FILE, Outputs, read_outputs
from dau_lightning.storage.seal import save_tensors


def outputs(**changes):
    about = {"labels": {"original": "Original", "dau": "DAU"}, "method": "dau", "class_names": []}
    return Outputs(**({"arrays": {"forget/targets": np.zeros(1, np.int64)}} | about | changes))


def test_outputs_are_read_as_written(tmp_path):
    kept = outputs(
        arrays={"dau/forget/logits": np.ones((2, 3), np.float16), "forget/targets": np.array([0, 2])}, class_names=["Ä"]
    )
    kept.write(tmp_path)
    read = read_outputs(tmp_path)
    assert {**vars(read), "arrays": {}} == {**vars(kept), "arrays": {}}
    assert read.arrays.keys() == kept.arrays.keys()
    assert all(np.array_equal(read.arrays[name], array) for name, array in kept.arrays.items())
    assert read.parts == ["forget"]


def test_outputs_of_an_earlier_version_are_read(tmp_path):
    about = '{"labels": {"dau": "DAU"}, "method": "dau", "title": "a few", "class_names": ["a"], "ids": ["train/a/1.png"]}'
    save_tensors(tmp_path / FILE, {"forget/targets": np.zeros(1, np.int64)}, {"about": about})
    assert read_outputs(tmp_path).class_names == ["a"]


def test_a_run_without_outputs_has_none(tmp_path):
    assert read_outputs(tmp_path) is None


@pytest.mark.parametrize("about", [{}, {"about": "no JSON"}, {"about": "1"}, {"about": '{"labels": 1}'}, None])
def test_a_file_that_holds_no_outputs_is_set_aside(tmp_path, about):
    if about is None:
        (tmp_path / FILE).write_bytes(b"no safetensors")
    else:
        save_tensors(tmp_path / FILE, {"a": np.ones(2)}, about)
    with pytest.warns(
        UserWarning, match=r"cannot be used \(it does not hold the outputs of a run.*overwrite=true makes it again"
    ):
        assert read_outputs(tmp_path) is None
    assert [path.name for path in tmp_path.iterdir()] == [f"{FILE}.bad"]


def test_probabilities_and_confidence_are_those_of_the_logits():
    logits, targets = np.random.default_rng(0).normal(0, 30, (5, 4)).astype(np.float16), np.array([0, 1, 2, 3, 0])
    found = outputs(arrays={"dau/val/logits": logits, "val/targets": targets})
    expected = np.exp(log_softmax(logits.astype(np.float64), axis=1))
    np.testing.assert_allclose(found.probabilities("dau", "val"), expected, rtol=1e-5)
    np.testing.assert_allclose(
        found.confidence("dau", "val"), [row[target] for row, target in zip(expected, targets, strict=True)], rtol=1e-5
    )
    assert found.confidence("dau", "val").dtype == np.float32


@pytest.mark.parametrize(
    ("labels", "method", "stages"),
    [
        (("retrain", "original", "dau"), "dau", ["original (before)", "dau (after)", "retrain (reference)"]),
        (("original", "dau"), "dau", ["original (before)", "dau (after)"]),
        (("retrain", "original"), "retrain", ["original (before)", "retrain (reference)"]),
        (("retrain", "original"), "original", ["original (before)", "retrain (reference)"]),
    ],
)
def test_models_are_named_before_after_and_reference(labels, method, stages):
    found = outputs(labels={kind: kind for kind in labels}, method=method)
    assert list(found.stages.values()) == stages


def test_a_model_called_before_is_not_named_so_twice():
    found = outputs(labels={"original": "Before", "dau": "DAU"})
    assert list(found.stages.values()) == ["Before", "DAU (after)"]


@pytest.mark.parametrize(("forgotten", "unseen"), [([0, 0], "test_forget"), ([0, 1], "test_retain"), ([1, 1], "test_retain")])
def test_forgotten_images_are_compared_with_unseen_ones_of_their_class(forgotten, unseen):
    arrays = {"forget/targets": np.array(forgotten), "retain/targets": np.array([1, 2]), "test_retain/targets": np.array([2])}
    assert outputs(arrays=arrays).unseen == "test_retain"
    assert outputs(arrays=arrays | {"test_forget/targets": np.zeros(1)}).unseen == unseen
