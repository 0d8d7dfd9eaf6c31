from typing import Any

import pytest

from dau_lightning.evaluation.checks import COSTLY, UNDONE, UNMOVED, all_warnings, failure, few_samples, passed, row_warnings

RETRAIN = {
    "UA": 6.0,
    "MIA": 14.0,
    "RA": 99.0,
    "TA": 94.0,
    "AUC": 50.0,
    "AUC_error": 2.0,
    "attacks": {"confidence": 14.0, "entropy": 15.0},
}
ORIGINAL = {
    "UA": 1.0,
    "MIA": 3.0,
    "RA": 99.5,
    "TA": 94.5,
    "AUC": 58.0,
    "AUC_error": 2.0,
    "attacks": {"confidence": 3.0, "entropy": 4.0},
}
DAU = {
    "UA": 5.0,
    "MIA": 12.0,
    "RA": 98.0,
    "TA": 93.0,
    "AUC": 52.0,
    "AUC_error": 2.0,
    "attacks": {"confidence": 12.0, "entropy": 13.0},
}
DAU |= {"balanced_accuracy_pretrained": 58.0, "label": "DAU", "seconds": 3.0, "TA_forgotten": None}
OVER = "over-forgetting: AUC {} is {} points below {}: forgotten images can be told from unseen ones"
SELECTION = {"UA": 5.0, "MIA": 12.0, "RA": 98.0, "judge_error": 7.0, "judge_MIA": 15.0, "AUC": 52.0, "AUC_error": 2.0}


def of(whole_class: bool = False, **changes: Any) -> list[str]:
    """The warnings about DAU."""
    found = row_warnings({"retrain": RETRAIN, "original": ORIGINAL, "dau": DAU | changes}, whole_class)
    assert found["retrain"] == found["original"] == []
    return found["dau"]


def test_a_good_run_has_none() -> None:
    assert of() == []
    assert row_warnings({"original": ORIGINAL | {"UA": 90.0}}, False) == {"original": []}  # it was to forget nothing
    assert row_warnings({"original": SELECTION, "dau": SELECTION | {"UA": 6.0}}, False) == {"original": [], "dau": []}


@pytest.mark.parametrize(
    ("changes", "flag"),
    [
        ({"RA": 94.4}, "RA is more than 5 points below the original's: the model is damaged"),
        ({"AUC": 44.9}, OVER.format("44.9", "5.1", "Retrain's")),
        ({"MIA_draws": {"range": [4.0, 9.1], "draws": 9, "voided": 4}}, "MIA is unstable: its draws range from 4.0 to 9.1"),
        (
            {"MIA_draws": {"range": [4.0, 9.0], "draws": 9, "voided": 5}},
            "MIA is unsure: 5 of 9 draws are void",
        ),
        (
            {"balanced_accuracy_pretrained": 50.9},
            "the attacker is no better than chance after pre-training, so the game cannot teach the model anything",
        ),
        ({"MIA": float("nan")}, "not finite: MIA"),
        ({"seconds": float("inf")}, "not finite: seconds"),
        (ORIGINAL, UNMOVED.format("dau")),
        (ORIGINAL | {"UA": 0.9, "RA": 99.0, "MIA": 8.0, "AUC": 56.0, "attacks": {}}, UNMOVED.format("dau")),
        (ORIGINAL | {"AUC": None}, UNMOVED.format("dau")),
        (ORIGINAL | {"undone": 1, "attempts": 4}, UNDONE.format(4)),
        ({"undone": 0, "attempts": 3}, COSTLY.format(3)),
        (ORIGINAL | {"RA": 94.4}, "RA is more than 5 points below the original's: the model is damaged"),
    ],
)
def test_each_alone(changes: dict[str, Any], flag: str) -> None:
    assert of(**changes) == [flag]


@pytest.mark.parametrize(
    "changes",
    [
        {"RA": 94.5},
        {"AUC": 45.0},
        {"AUC": 44.0, "AUC_error": 3.1},
        {"balanced_accuracy_pretrained": 51.0},
        ORIGINAL | {"UA": 1.1},
        ORIGINAL | {"MIA": 8.1},
        ORIGINAL | {"AUC": 55.9},
    ],
)
def test_margins_are_margins(changes: dict[str, Any]) -> None:
    assert of(**changes) == []


def test_where_retrain_looks_like_the_original_a_method_may_too() -> None:
    easy = ORIGINAL | {"MIA": 6.0}
    assert row_warnings({"retrain": easy, "original": ORIGINAL, "dau": ORIGINAL}, 0)["dau"] == []
    assert row_warnings({"retrain": easy | {"UA": 1.5}, "original": ORIGINAL, "dau": ORIGINAL}, 0)["dau"] != []


def test_a_forgotten_class_may_be_wrong_all_over() -> None:
    retrain = RETRAIN | {"UA": 100.0}
    assert row_warnings({"retrain": retrain, "original": ORIGINAL, "dau": DAU | {"UA": 100.0}}, True)["dau"] == []
    found = row_warnings({"retrain": RETRAIN, "original": ORIGINAL}, True)["retrain"]
    assert found == ["Retrain recognises a class that it never saw: do images of it lie in the retain set?"]


def test_retrain_that_recognises_an_emptied_class_among_single_images() -> None:
    found = row_warnings({"retrain": RETRAIN | {"UA": 60.0}, "original": ORIGINAL}, 0.75)["retrain"]
    assert found == ["Retrain recognises a class that it never saw: do images of it lie in the retain set?"]


def test_without_retrain_over_forgetting_is_below_chance() -> None:
    rows = {"original": ORIGINAL, "dau": DAU | {"AUC": 44.0}, "finetune": DAU | {"AUC": 46.0}}
    found = row_warnings(rows, 0)
    assert found == {"original": [], "dau": [OVER.format("44.0", "6.0", "50")], "finetune": []}


def test_what_did_not_move_is_not_over_forgotten() -> None:
    """A list of images that are hard for every model."""
    hard = ORIGINAL | {"UA": 60.0, "AUC": 20.0}
    assert row_warnings({"original": hard, "dau": DAU | {"UA": 60.0, "AUC": 20.0}}, 0)["dau"] == []
    error = DAU["AUC_error"]
    assert row_warnings({"original": hard, "dau": DAU | {"UA": 61.0, "AUC": 20.1 - error}}, 0)["dau"] == []
    assert row_warnings({"original": hard, "dau": DAU | {"UA": 60.0, "AUC": 19.9 - error}}, 0)["dau"] != []
    assert row_warnings({"original": ORIGINAL | {"AUC": None}, "dau": DAU | {"AUC": None}}, 1)["dau"] == []


WRONG: dict[str, Any] = {"emptied": 0, "wrong_labels": True}


def test_unseen_images_are_no_standard_for_wrong_labels() -> None:
    low = DAU | {"UA": 97.0, "AUC": 4.0}
    assert row_warnings({"original": ORIGINAL, "dau": low}, **WRONG)["dau"] == []
    retrain = RETRAIN | {"UA": 98.0, "AUC": 3.0}
    assert row_warnings({"retrain": retrain, "original": ORIGINAL, "dau": low}, **WRONG)["dau"] == []
    found = row_warnings({"retrain": retrain | {"AUC": 12.0}, "original": ORIGINAL, "dau": low}, **WRONG)["dau"]
    assert found == [OVER.format("4.0", "8.0", "Retrain's")]


def test_retrain_that_predicts_most_wrong_labels() -> None:
    rows = {"retrain": RETRAIN | {"UA": 90.0}, "original": ORIGINAL}  # wrong labels can be right by chance
    assert row_warnings(rows, **WRONG)["retrain"] == []
    found = row_warnings(rows | {"retrain": RETRAIN}, **WRONG)["retrain"]
    right = "Retrain predicts 94.0% of the labels that you called wrong"
    assert found == [f"{right}; these labels may be right. Check some of these images."]


def test_an_attacker_that_was_not_pretrained_may_be_at_chance() -> None:
    assert of(balanced_accuracy_pretrained=None) == []
    assert len(of(balanced_accuracy_pretrained=50.0)) == 1


def test_few_samples_are_said() -> None:
    assert few_samples(1) == ["only 1 image is forgotten: it is 100.0 points of UA and MIA"]
    assert few_samples(5) == ["only 5 images are forgotten: each of them is 20.0 points of UA and MIA"]
    assert few_samples(20) == []


def test_a_slow_loss_over_many_requests_is_one_loss() -> None:
    rows = {"original": ORIGINAL | {"RA": 96.0}, "dau": DAU | {"RA": 94.0}}
    assert row_warnings(rows, 0) == {"original": [], "dau": []}
    found = row_warnings(rows, 0, first_RA=99.5)
    assert found == {
        "original": [],
        "dau": ["RA is more than 5 points below that of the original before all requests: the model is damaged"],
    }


def test_warnings_of_the_run_come_before_those_of_its_rows() -> None:
    rows = {"original": {"label": "Original"}, "dau": {"label": "DAU", "flags": ["nothing forgotten"]}}
    assert all_warnings({"rows": rows, "warnings": ["no Retrain"]}) == [("", "no Retrain"), ("DAU", "nothing forgotten")]
    assert all_warnings({"rows": {}}) == []


def test_a_bad_reference_is_flagged() -> None:
    found = row_warnings({"retrain": RETRAIN | {"RA": 80.0}, "original": ORIGINAL}, False)
    assert found == {"retrain": ["RA is more than 5 points below the original's: the model is damaged"], "original": []}


def test_several_at_once() -> None:
    assert len(of(RA=10.0, UA=90.0, TA=9.0, balanced_accuracy_pretrained=50.0)) == 2  # UA is not above the error of a wreck


@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({}, ""),
        ({"RA": 94.6}, ""),
        ({"RA": 94.4}, "RA, the accuracy on the retained images, fell too far"),
        ({"undone": 0}, ""),
        ({"undone": 1}, "nothing was forgotten"),
    ],
)
def test_a_model_passes_that_was_changed_and_kept_ra(row: dict[str, float], words: str) -> None:
    result = {"baseline": "dau", "start": {"RA": 99.5}, "rows": {"dau": DAU | row}}
    assert failure(result).startswith(words)
    assert passed(result) == (not words) == (not failure(result))
