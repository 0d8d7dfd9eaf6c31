"""The selection score, by which settings are chosen without Retrain and without the images of TA.

`D_v` is halved, class by class. The method uses one half as its validation set. The other half, `D_s`, is kept for the
score, and halved again within its retained classes. One half (`judge`) is attacked like the forget set, which shows the
efficacy of the attack on images never seen; the other half (`judge_nonmembers`) gives both attacks their nonmembers.
With `val_from_test`, `D_v` is a share of the test set, which TA leaves out.
"""

from collections.abc import Mapping


def selection_score(row: Mapping[str, float], original: Mapping[str, float], unpredicted: float) -> dict[str, float]:
    """The terms of the score and their mean, `score`; lower is better.

    After random forgetting, the model should err on the forget set as often as on images never seen, and nothing should
    tell the two apart. After class-wise forgetting, or where the labels are wrong, it should err on all of the forget set.
    Neither may cost accuracy. A request of both kinds has the mean of both targets, weighted by their shares of the forget
    set.

    Args:
        row: numbers of the unlearned model, in percent: `UA`, `RA`, `MIA` (efficacy on the forget set), `judge_error` (error
            on `D_s`), `judge_MIA` (efficacy on the attacked half of `D_s`) and `judge_AUC` (AUC of forget set against `D_s`).
        original: the same numbers of the original model.
        unpredicted: share of the forget set on which the model should err: 0 for random forgetting, 1 for class-wise
            forgetting and for wrong labels.

    Returns:
        `score`, `score_UA`, `score_MIA`, `score_RA`, `score_judge` and, where single samples are forgotten, `score_AUC`, in
        percentage points. The weight of the AUC in the mean is the share of single samples.
    """
    terms = {
        "score_UA": abs(row["UA"] - _wanted(row["judge_error"], unpredicted)),
        "score_MIA": abs(row["MIA"] - _wanted(row["judge_MIA"], unpredicted)),
        "score_RA": max(0.0, original["RA"] - row["RA"]),
        "score_judge": max(0.0, row["judge_error"] - original["judge_error"]),
    }
    total, weight = sum(terms.values()), float(len(terms))
    if unpredicted < 1 and row.get("judge_AUC") is not None:
        terms["score_AUC"] = abs(row["judge_AUC"] - 50)
        total, weight = total + (1 - unpredicted) * terms["score_AUC"], weight + 1 - unpredicted
    return {"score": total / weight, **terms}


def _wanted(unseen: float, unpredicted: float) -> float:
    """The target on the forget set, in percent: 100 on the unpredicted share, elsewhere the value on images never seen."""
    return 100 * unpredicted + (1 - unpredicted) * unseen
