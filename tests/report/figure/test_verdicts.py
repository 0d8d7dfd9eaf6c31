"""The picture of all tests of an audit."""

from typing import Any

import pytest

from dau_lightning.report.figure.verdicts import MARKS, placed, verdict_pictures


def finding(method: float, retrain: float, original: float, verdict: str = "pass", tolerance: float = 2.0) -> dict[str, Any]:
    figures = {"method": {"value": method}, "retrain": {"value": retrain}, "original": {"value": original}}
    return {"figures": figures, "tolerance": tolerance, "verdict": verdict}


@pytest.mark.parametrize(("method", "place"), [(70, 0), (50, 1), (60, 0.5), (45, 1.25), (75, -0.25)])
def test_the_original_is_at_0_and_retrain_at_1(method, place):
    assert placed(finding(method, 50, 70)) == (place, 0.1)
    assert placed(finding(-method, -50, -70)) == (place, 0.1)  # also where high figures are those of Retrain


def test_there_is_a_picture_with_every_verdict():
    tests = {f"test_{number}": finding(40 + 20 * number, 50, 70, verdict) for number, verdict in enumerate(MARKS)}
    (drawn,) = verdict_pictures(tests)
    assert set(drawn.files) == {"audit.png", "audit.svg"}
    svg = drawn.files["audit.svg"].decode()
    assert all(f"<!-- {text} -->" in svg for text in (*MARKS, "test 0", "test 1", "test 2"))


def test_tests_that_cannot_be_placed_are_left_out():
    without = finding(60, 50, 70)
    del without["figures"]["original"]
    assert verdict_pictures({"none": {"figures": {}}, "same": finding(60, 50, 50), "without": without}) == []
