import pytest
import torch

from dau_lightning.metric.selection import selection_score

ORIGINAL = {"UA": 0.5, "MIA": 1.0, "RA": 99.0, "judge_error": 6.0, "judge_MIA": 20.0}
ROW = {"UA": 9.0, "MIA": 14.0, "RA": 96.5, "judge_error": 8.0, "judge_MIA": 24.0}


def test_random_scheme() -> None:
    assert selection_score(ROW, ORIGINAL, emptied=0) == pytest.approx(
        {"score_UA": 1, "score_MIA": 10, "score_RA": 2.5, "score_judge": 2, "score": 15.5 / 4}
    )


def test_classwise_scheme() -> None:
    assert selection_score(ROW, ORIGINAL, emptied=1) == pytest.approx(
        {"score_UA": 91, "score_MIA": 86, "score_RA": 2.5, "score_judge": 2, "score": 181.5 / 4}
    )


def test_random_scheme_punishes_both_sides() -> None:
    over = {**ROW, "UA": 7.0, "MIA": 34.0}
    score = selection_score(over, ORIGINAL, emptied=0)
    assert (score["score_UA"], score["score_MIA"]) == (1, 10)


def test_a_class_and_single_images_are_held_to_both_by_their_shares() -> None:
    perfect = {**ORIGINAL, "UA": 0.75 * 100 + 0.25 * 6.0, "MIA": 0.75 * 100 + 0.25 * 20.0}
    assert selection_score(perfect, ORIGINAL, emptied=0.75)["score"] == 0
    assert selection_score({**perfect, "UA": 100.0}, ORIGINAL, emptied=0.75)["score_UA"] == 0.25 * 94


@pytest.mark.parametrize("emptied", [0, 0.5, 1])
def test_a_gain_of_accuracy_is_no_bonus(emptied: float) -> None:
    better = {**ROW, "RA": 100.0, "judge_error": 2.0}
    score = selection_score(better, ORIGINAL, emptied)
    assert (score["score_RA"], score["score_judge"]) == (0, 0)


def test_perfect_forgetting_scores_zero() -> None:
    random = {**ORIGINAL, "UA": 6.0, "MIA": 20.0}
    assert selection_score(random, ORIGINAL, emptied=0)["score"] == 0
    whole_class = {**ORIGINAL, "UA": 100.0, "MIA": 100.0}
    assert selection_score(whole_class, ORIGINAL, emptied=1)["score"] == 0


def test_the_auc_counts_where_single_samples_are_forgotten() -> None:
    row = {**ROW, "judge_AUC": 43.0}
    assert selection_score(row, ORIGINAL, emptied=0) == pytest.approx(
        {"score_UA": 1, "score_MIA": 10, "score_RA": 2.5, "score_judge": 2, "score_AUC": 7, "score": 22.5 / 5}
    )
    assert selection_score(row, ORIGINAL, emptied=1) == selection_score(ROW, ORIGINAL, emptied=1)
    half = selection_score(row, ORIGINAL, emptied=0.5)
    assert half["score"] == pytest.approx((sum(half[f"score_{name}"] for name in ("UA", "MIA", "RA", "judge")) + 3.5) / 4.5)


def test_wrong_labels_are_predicted_by_chance() -> None:
    """With 10 classes, a model that errs on 9% of unseen images predicts 1% of the labels that were drawn at random."""
    row = {**ROW, "UA": 97.0, "MIA": 96.0, "judge_error": 9.0, "judge_MIA": 98.5, "judge_AUC": 3.0}
    assert selection_score(row, ORIGINAL, emptied=0, other_labels=9) == pytest.approx(
        {"score_UA": 2, "score_MIA": 2.5, "score_RA": 2.5, "score_judge": 3, "score": 10 / 4}
    )


def test_labels_that_are_never_predicted_are_as_far_off_as_labels_that_are_predicted_too_often() -> None:
    rows = [{**ROW, "UA": UA, "judge_error": 18.0} for UA in (100.0, 96.0)]
    assert [selection_score(row, ORIGINAL, emptied=0, other_labels=9)["score_UA"] for row in rows] == [2, 2]


def test_the_wrong_label_of_an_emptied_class_is_never_predicted() -> None:
    row = {**ORIGINAL, "UA": 100.0, "MIA": 100.0}
    assert selection_score(row, ORIGINAL, emptied=1, other_labels=2)["score"] == 0


def test_the_target_of_wrong_labels_is_what_unseen_images_with_them_have() -> None:
    """By counting: the share of random wrong labels that a noisy prediction differs from."""
    generator = torch.Generator().manual_seed(0)
    classes, count = 5, 200_000
    true = torch.randint(classes, (count,), generator=generator)
    wrong = (true + torch.randint(1, classes, (count,), generator=generator)) % classes
    often = (true + 2) % classes  # the model errs in a way of its own
    predicted = torch.where(torch.rand(count, generator=generator) < 0.3, often, true)
    row = {**ORIGINAL, "UA": 100 * float((predicted != wrong).double().mean()), "judge_error": 30.0}
    assert row["UA"] == pytest.approx(100 - 30 / 4, abs=0.2)
    assert selection_score(row, row, emptied=0, other_labels=4)["score_UA"] == pytest.approx(0, abs=0.2)
