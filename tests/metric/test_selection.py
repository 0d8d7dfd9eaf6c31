import pytest

from dau_lightning.metric.selection import selection_score

ORIGINAL = {"UA": 0.5, "MIA": 1.0, "RA": 99.0, "judge_error": 6.0, "judge_MIA": 20.0}
ROW = {"UA": 9.0, "MIA": 14.0, "RA": 96.5, "judge_error": 8.0, "judge_MIA": 24.0}


def test_random_scheme() -> None:
    assert selection_score(ROW, ORIGINAL, unpredicted=0) == pytest.approx(
        {"score_UA": 1, "score_MIA": 10, "score_RA": 2.5, "score_judge": 2, "score": 15.5 / 4}
    )


def test_classwise_scheme() -> None:
    assert selection_score(ROW, ORIGINAL, unpredicted=1) == pytest.approx(
        {"score_UA": 91, "score_MIA": 86, "score_RA": 2.5, "score_judge": 2, "score": 181.5 / 4}
    )


def test_random_scheme_punishes_both_sides() -> None:
    over = {**ROW, "UA": 7.0, "MIA": 34.0}
    score = selection_score(over, ORIGINAL, unpredicted=0)
    assert (score["score_UA"], score["score_MIA"]) == (1, 10)


def test_a_class_and_single_images_are_held_to_both_by_their_shares() -> None:
    perfect = {**ORIGINAL, "UA": 0.75 * 100 + 0.25 * 6.0, "MIA": 0.75 * 100 + 0.25 * 20.0}
    assert selection_score(perfect, ORIGINAL, unpredicted=0.75)["score"] == 0
    assert selection_score({**perfect, "UA": 100.0}, ORIGINAL, unpredicted=0.75)["score_UA"] == 0.25 * 94


@pytest.mark.parametrize("unpredicted", [0, 0.5, 1])
def test_a_gain_of_accuracy_is_no_bonus(unpredicted: float) -> None:
    better = {**ROW, "RA": 100.0, "judge_error": 2.0}
    score = selection_score(better, ORIGINAL, unpredicted)
    assert (score["score_RA"], score["score_judge"]) == (0, 0)


def test_perfect_forgetting_scores_zero() -> None:
    random = {**ORIGINAL, "UA": 6.0, "MIA": 20.0}
    assert selection_score(random, ORIGINAL, unpredicted=0)["score"] == 0
    whole_class = {**ORIGINAL, "UA": 100.0, "MIA": 100.0}
    assert selection_score(whole_class, ORIGINAL, unpredicted=1)["score"] == 0


def test_the_auc_counts_where_single_samples_are_forgotten() -> None:
    row = {**ROW, "judge_AUC": 43.0}
    assert selection_score(row, ORIGINAL, unpredicted=0) == pytest.approx(
        {"score_UA": 1, "score_MIA": 10, "score_RA": 2.5, "score_judge": 2, "score_AUC": 7, "score": 22.5 / 5}
    )
    assert selection_score(row, ORIGINAL, unpredicted=1) == selection_score(ROW, ORIGINAL, unpredicted=1)
    half = selection_score(row, ORIGINAL, unpredicted=0.5)
    assert half["score"] == pytest.approx((sum(half[f"score_{name}"] for name in ("UA", "MIA", "RA", "judge")) + 3.5) / 4.5)
