"""Choosing settings without Retrain and without the images of TA: the selection score on halves of the validation set.

`D_v` is halved by class. One half plays the game. The other, `D_s`, only judges: of its retained classes one half is
attacked beside the forget set, the other gives the attack its nonmembers.
With `val_from_test` `D_v` is a share of the test set, which TA leaves out.
"""

from collections.abc import Mapping


def selection_score(row: Mapping[str, float], original: Mapping[str, float], emptied: float) -> dict[str, float]:
    """The terms and their mean, `score`; lower is better.

    Random forgetting should leave the forget set as hard as images never seen, and not to be told from them; class-wise
    forgetting should leave nothing of the class. Neither may cost accuracy. A request of both kinds is held to the mean of
    both, by their shares.

    Args:
        row: of the unlearned model, in percent: `UA`, `RA`, `MIA` (efficacy on the forget set), `judge_error` (on `D_s`),
            `judge_MIA` (efficacy on the attacked half of `D_s`) and `judge_AUC` (forget set against `D_s`).
        original: the same of the original model.
        emptied: share of the forget set whose class has nothing left to retain: 0 for random, 1 for class-wise forgetting.

    Returns:
        `score`, `score_UA`, `score_MIA`, `score_RA`, `score_judge` and, where single samples are forgotten, `score_AUC`, in
        percentage points. The AUC counts by the share of single samples.
    """
    terms = {
        "score_UA": abs(row["UA"] - _wanted(row["judge_error"], emptied)),
        "score_MIA": abs(row["MIA"] - _wanted(row["judge_MIA"], emptied)),
        "score_RA": max(0.0, original["RA"] - row["RA"]),
        "score_judge": max(0.0, row["judge_error"] - original["judge_error"]),
    }
    total, weight = sum(terms.values()), float(len(terms))
    if emptied < 1 and row.get("judge_AUC") is not None:
        terms["score_AUC"] = abs(row["judge_AUC"] - 50)
        total, weight = total + (1 - emptied) * terms["score_AUC"], weight + 1 - emptied
    return {"score": total / weight, **terms}


def _wanted(unseen: float, emptied: float) -> float:
    """A percentage on the forget set: 100 on its emptied classes, elsewhere that of images never seen."""
    return 100 * emptied + (1 - emptied) * unseen
