from typing import Any

import pytest

from dau_lightning.evaluation.checks import all_warnings, row_warnings

RETRAIN = {"UA": 6.0, "MIA": 14.0, "RA": 99.0, "TA": 94.0, "attacks": {"confidence": 14.0, "entropy": 15.0}}
ORIGINAL = {"UA": 1.0, "MIA": 3.0, "RA": 99.5, "TA": 94.5, "attacks": {"confidence": 3.0, "entropy": 4.0}}
DAU = {"UA": 5.0, "MIA": 12.0, "RA": 98.0, "TA": 93.0, "attacks": {"confidence": 12.0, "entropy": 13.0}}
DAU |= {"balanced_accuracy_pretrained": 58.0, "label": "DAU", "seconds": 3.0, "TA_forgotten": None}
CHANCE = "the attacker is at chance after its pre-training: the game has nothing to tell"
SELECTION = {"UA": 5.0, "MIA": 12.0, "RA": 98.0, "judge_error": 7.0, "judge_MIA": 15.0}


def of(whole_class: bool = False, **changes: Any) -> list[str]:
    """The flags of DAU."""
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
        ({"RA": 94.4}, "RA is more than 5 points below the original's"),
        ({"UA": 17.1}, "over-forgetting: UA is more than 10 points above the error on images never seen"),
        (
            {"balanced_accuracy_pretrained": 50.9},
            "the attacker is at chance after its pre-training: the game has nothing to tell",
        ),
        ({"MIA": float("nan")}, "not finite: MIA"),
        ({"seconds": float("inf")}, "not finite: seconds"),
        (ORIGINAL, "nothing forgotten: UA, RA and every attack are the original's"),
    ],
)
def test_each_alone(changes: dict[str, Any], flag: str) -> None:
    assert of(**changes) == [flag]


@pytest.mark.parametrize(
    "changes", [{"RA": 94.5}, {"UA": 17.0}, {"balanced_accuracy_pretrained": 51.0}, ORIGINAL | {"UA": 2.0}]
)
def test_margins_are_margins(changes: dict[str, Any]) -> None:
    assert of(**changes) == []


def test_a_forgotten_class_may_be_wrong_all_over() -> None:
    retrain = RETRAIN | {"UA": 100.0}
    assert row_warnings({"retrain": retrain, "original": ORIGINAL, "dau": DAU | {"UA": 100.0}}, True)["dau"] == []
    found = row_warnings({"retrain": RETRAIN, "original": ORIGINAL}, True)["retrain"]
    assert found == ["Retrain recognises a class that it never saw: do images of it lie in the retain set?"]


def test_of_a_class_and_single_images_each_is_held_to_its_own() -> None:
    """Three quarters are of an emptied class, on which Retrain is wrong; the others are as images never seen."""
    retrain, good, over = (RETRAIN | {"UA": error} for error in (0.75 * 100 + 0.25 * 6, 75 + 0.25 * 12, 75 + 0.25 * 50))
    found = row_warnings({"retrain": retrain, "original": ORIGINAL, "dau": good, "finetune": over}, 0.75)
    assert found["retrain"] == found["dau"] == []
    assert found["finetune"] == ["over-forgetting: UA is more than 10 points above the error on images never seen"]
    found = row_warnings({"retrain": RETRAIN | {"UA": 60.0}, "original": ORIGINAL}, 0.75)["retrain"]
    assert found == ["Retrain recognises a class that it never saw: do images of it lie in the retain set?"]


def test_a_slow_loss_over_many_requests_is_one_loss() -> None:
    rows = {"original": ORIGINAL | {"RA": 96.0}, "dau": DAU | {"RA": 94.0}}
    assert row_warnings(rows, 0) == {"original": [], "dau": []}
    found = row_warnings(rows, 0, first_RA=99.5)
    assert found == {"original": [], "dau": ["RA is more than 5 points below that of the original before all requests"]}


def test_doubts_are_of_the_run_then_of_its_rows() -> None:
    rows = {"original": {"label": "Original"}, "dau": {"label": "DAU", "flags": ["nothing forgotten"]}}
    assert all_warnings({"rows": rows, "warnings": ["no Retrain"]}) == [("", "no Retrain"), ("DAU", "nothing forgotten")]
    assert all_warnings({"rows": {}}) == []


def test_images_that_are_hard_for_retrain_may_be_wrong() -> None:
    """Half of a class that is told apart badly: its error is not the mean one."""
    rows = {"retrain": RETRAIN | {"UA": 30.0}, "original": ORIGINAL, "dau": DAU | {"UA": 39.0}}
    assert row_warnings(rows, False)["retrain"] == row_warnings(rows, False)["dau"] == []
    found = row_warnings(rows | {"dau": DAU | {"UA": 40.1}}, False)["dau"]
    assert found == ["over-forgetting: UA is more than 10 points above the error on images never seen"]


def test_a_bad_reference_is_flagged() -> None:
    found = row_warnings({"retrain": RETRAIN | {"RA": 80.0}, "original": ORIGINAL}, False)
    assert found == {"retrain": ["RA is more than 5 points below the original's"], "original": []}


def test_a_selection_run_is_judged_by_its_judges() -> None:
    found = row_warnings({"original": SELECTION, "dau": SELECTION | {"UA": 17.1}, "finetune": dict(SELECTION)}, False)
    assert found["dau"] == ["over-forgetting: UA is more than 10 points above the error on images never seen"]
    assert found["finetune"] == ["nothing forgotten: UA, RA and every attack are the original's"]


def test_several_at_once() -> None:
    assert len(of(RA=10.0, UA=90.0, TA=9.0, balanced_accuracy_pretrained=50.0)) == 2  # UA is not above the error of a wreck
