import pytest

from dau_lightning.metric.selection import selection_score

ORIGINAL = {"UA": 0.5, "MIA": 1.0, "RA": 99.0, "judge_error": 6.0, "judge_MIA": 20.0}
ROW = {"UA": 9.0, "MIA": 14.0, "RA": 96.5, "judge_error": 8.0, "judge_MIA": 24.0}


def test_random_scheme() -> None:
    assert selection_score(ROW, ORIGINAL, whole_class=False) == pytest.approx(
        {"score_UA": 1, "score_MIA": 10, "score_RA": 2.5, "score_judge": 2, "score": 15.5 / 4}
    )


def test_classwise_scheme() -> None:
    assert selection_score(ROW, ORIGINAL, whole_class=True) == pytest.approx(
        {"score_UA": 91, "score_MIA": 86, "score_RA": 2.5, "score_judge": 2, "score": 181.5 / 4}
    )


def test_random_scheme_punishes_both_sides() -> None:
    over = {**ROW, "UA": 7.0, "MIA": 34.0}
    score = selection_score(over, ORIGINAL, whole_class=False)
    assert (score["score_UA"], score["score_MIA"]) == (1, 10)


@pytest.mark.parametrize("whole_class", [True, False])
def test_a_gain_of_accuracy_is_no_bonus(whole_class: bool) -> None:
    better = {**ROW, "RA": 100.0, "judge_error": 2.0}
    score = selection_score(better, ORIGINAL, whole_class)
    assert (score["score_RA"], score["score_judge"]) == (0, 0)


def test_perfect_forgetting_scores_zero() -> None:
    random = {**ORIGINAL, "UA": 6.0, "MIA": 20.0}
    assert selection_score(random, ORIGINAL, whole_class=False)["score"] == 0
    whole_class = {**ORIGINAL, "UA": 100.0, "MIA": 100.0}
    assert selection_score(whole_class, ORIGINAL, whole_class=True)["score"] == 0
