"""Choosing settings without Retrain and without test data: the selection score on halves of the validation set.

`D_v` is halved by class. One half plays the game. The other, `D_s`, only judges: of its retained classes one half is
attacked beside the forget set, the other gives the attack its nonmembers.
"""

from collections.abc import Mapping


def selection_score(row: Mapping[str, float], original: Mapping[str, float], emptied: float) -> dict[str, float]:
    """The four terms and their mean, `score`; lower is better.

    Random forgetting should leave the forget set as hard as images never seen; class-wise forgetting should leave
    nothing of the class. Neither may cost accuracy. A request of both kinds is held to the mean of both, by their shares.

    Args:
        row: of the unlearned model, in percent: `UA`, `RA`, `MIA` (efficacy on the forget set), `judge_error` (on `D_s`)
            and `judge_MIA` (efficacy on the attacked half of `D_s`).
        original: the same of the original model.
        emptied: share of the forget set whose class has nothing left to retain: 0 for random, 1 for class-wise forgetting.

    Returns:
        `score`, `score_UA`, `score_MIA`, `score_RA`, `score_judge`, in percentage points.
    """
    terms = {
        "score_UA": abs(row["UA"] - _wanted(row["judge_error"], emptied)),
        "score_MIA": abs(row["MIA"] - _wanted(row["judge_MIA"], emptied)),
        "score_RA": max(0.0, original["RA"] - row["RA"]),
        "score_judge": max(0.0, row["judge_error"] - original["judge_error"]),
    }
    return {"score": sum(terms.values()) / len(terms), **terms}


def _wanted(unseen: float, emptied: float) -> float:
    """A percentage on the forget set that is 100 on its emptied classes and the one on images never seen elsewhere."""
    return 100 * emptied + (1 - emptied) * unseen
