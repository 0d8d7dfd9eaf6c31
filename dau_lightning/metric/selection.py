"""The selection score, by which settings are chosen without Retrain and without the images of TA.

`D_v` is halved, class by class. The method uses one half as its validation set. The other half, `D_s`, is kept for the
score, and halved again within its retained classes. One half (`judge`) is attacked like the forget set, which shows the
efficacy of the attack on images never seen; the other half (`judge_nonmembers`) gives both attacks their nonmembers.
With `val_from_test`, `D_v` is a share of the test set, which TA leaves out.
"""

from collections.abc import Mapping


def selection_score(
    row: Mapping[str, float], original: Mapping[str, float], emptied: float, other_labels: int = 0
) -> dict[str, float]:
    """The terms of the score and their mean, `score`; lower is better.

    After random forgetting, the model should err on the forget set as often as on images never seen, and nothing should
    tell the two apart. After class-wise forgetting, it should err on all of the forget set. Neither may cost accuracy. A
    request of both kinds has the mean of both targets, weighted by their shares of the forget set.

    Where the labels of the forget set are wrong, the standard is an image never seen that got a wrong label. A model whose
    error on unseen images is `e` percent predicts a wrong label that was drawn from the `K - 1` others with probability
    `e / (K - 1)`, so `UA = 100 - e / (K - 1)`. The target of MIA is the efficacy on unseen images with wrong labels, which
    the evaluator measures. If people confuse the same classes as the model, a retrained model has a lower UA than that.

    Args:
        row: numbers of the unlearned model, in percent: `UA`, `RA`, `MIA` (efficacy on the forget set), `judge_error` (error
            on `D_s`), `judge_MIA` (efficacy on the attacked half of `D_s`) and `judge_AUC` (AUC of forget set against `D_s`).
        original: the same numbers of the original model.
        emptied: share of the forget set whose class has no retain sample left: 0 for random forgetting, 1 for class-wise.
        other_labels: `K - 1` if the labels of the forget set are wrong; `judge_MIA` is then that of wrong labels. 0 if they
            are right.

    Returns:
        `score`, `score_UA`, `score_MIA`, `score_RA`, `score_judge` and, where single samples with right labels are forgotten,
        `score_AUC`, in percentage points. The weight of the AUC in the mean is the share of single samples.

    >>> retrain = {"UA": 98.5, "MIA": 99.0, "RA": 100.0, "judge_error": 13.5, "judge_MIA": 99.0}
    >>> selection_score(retrain, retrain, emptied=0, other_labels=9)["score"]
    0.0
    """
    unseen = 100 - row["judge_error"] / other_labels if other_labels else row["judge_error"]
    terms = {
        "score_UA": abs(row["UA"] - _wanted(unseen, emptied)),
        "score_MIA": abs(row["MIA"] - _wanted(row["judge_MIA"], emptied)),
        "score_RA": max(0.0, original["RA"] - row["RA"]),
        "score_judge": max(0.0, row["judge_error"] - original["judge_error"]),
    }
    total, weight = sum(terms.values()), float(len(terms))
    if emptied < 1 and not other_labels and row.get("judge_AUC") is not None:
        terms["score_AUC"] = abs(row["judge_AUC"] - 50)
        total, weight = total + (1 - emptied) * terms["score_AUC"], weight + 1 - emptied
    return {"score": total / weight, **terms}


def _wanted(unseen: float, emptied: float) -> float:
    """The target on the forget set, in percent: 100 on the share of emptied classes, elsewhere the value on unseen images."""
    return 100 * emptied + (1 - emptied) * unseen
