"""Warnings about a row: a model that diverged, collapsed or forgot too much, or a method that did nothing."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from dau_lightning.baseline import TRAINED_BY_RECIPE

RA_MARGIN = 5.0  # points of RA that unlearning may cost
AUC_MARGIN = 5.0  # points below the reference from which forgotten images stand out (Streisand effect)
STANDARD_ERRORS = 2  # that a difference of AUC must exceed as well
DRAWS_MARGIN = 5.0  # points by which the draws of an attack may differ
TRIGGER_MARGIN = 5.0  # points of the trigger rate above Retrain's
FEW = 20  # forget samples below which percentages say little
UNSTABLE, UNSURE = "MIA is unstable", "MIA is unsure"  # the warnings on a MIA that depends on the draw
CHANCE_MARGIN = 1.0  # points from 50 within which an attacker has learned nothing
UNMOVED = (
    "nothing forgotten: UA did not rise, MIA hardly rose and AUC hardly fell; "
    "choose settings that change the weights more (conf/baseline/{}.yaml)"
)
UNDONE = "all {} attempts diverged or cost too much RA: the weights are those from before; set a smaller baseline.lr"
COSTLY = (
    "no attempt, of {}, kept RA within baseline.attempts.largest_loss: the weights are those of the one that cost least; "
    "set a smaller baseline.lr"
)

Row = Mapping[str, Any]


def row_warnings(
    rows: Mapping[str, Row],
    emptied: float,
    first_RA: float | None = None,
    wrong_labels: bool = False,
    chosen: bool = False,
) -> dict[str, list[str]]:
    """Return the warnings about each row of a run; the list is empty if there are none.

    Args:
        rows: by kind of model, as in `result.json`, in percent.
        emptied: share of the forget set whose class has no retain sample left, see `split.emptied_share`.
        first_RA: RA of the original of the first request, in percent; RA loss is measured from it, so that losses of several
            requests add up. None for the first request.
        wrong_labels: whether the labels of the forget set are wrong.
        chosen: whether a score chose the forget set. Here, as where labels are wrong, unseen images are no standard for its
            AUC; only Retrain is.
    """
    original, retrain = rows["original"], rows.get("retrain")
    found = {}
    for kind, row in rows.items():
        found[kind] = [*_broken(row), *_lost(row, original, first_RA), *_unstable(row), *_game(row)]
        found[kind] += _triggered(row, retrain) if retrain else []
        if kind == "retrain":
            found[kind] += _doubtful_request(row["UA"], emptied, wrong_labels)
        if kind != "original" and not ((wrong_labels or chosen) and retrain is None):
            found[kind] += _over_forgotten(row, original, retrain)
        if kind not in TRAINED_BY_RECIPE and not (retrain and _unmoved(retrain, original)):
            found[kind] += [UNMOVED.format(kind)] if _unmoved(row, original) else []
    return found


def few_samples(count: int) -> list[str]:
    """A warning where so few samples are forgotten that each of them is many points."""
    if count >= FEW:
        return []
    images = "1 image is forgotten: it" if count == 1 else f"{count} images are forgotten: each of them"
    return [f"only {images} is {100 / count:.1f} points of UA and MIA"]


def chosen_samples(request: Mapping[str, Any], with_score: bool) -> list[str]:
    """A warning about a selection score whose standard, unseen images, is none for a forget set that a score chose."""
    if not with_score or "chosen_by" not in request:
        return []
    return [
        f"the forget set was chosen by {request['chosen_by']}: a model without it does not treat it like unseen images, "
        "with which the score compares it; compare with a Retrain"
    ]


def all_warnings(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All warnings in a `result.json`, each with the label of its row; the label is empty for the whole run."""
    rows = result["rows"].values()
    return [("", warning) for warning in result.get("warnings", ())] + [
        (row["label"], warning) for row in rows for warning in row.get("flags", ())
    ]


def passed(result: Mapping[str, Any]) -> bool:
    """Whether the unlearned model of a `result.json` was changed and kept the original's RA, within `RA_MARGIN` points."""
    return not failure(result)


def failure(result: Mapping[str, Any]) -> str:
    """Why the unlearned model of a `result.json` should not be used, empty if it may be."""
    row = result["rows"][result["baseline"]]
    if row.get("undone"):
        return "nothing was forgotten: every attempt diverged or cost too much RA, and the weights are those from before"
    kept = row["RA"] >= result["start"]["RA"] - RA_MARGIN
    return "" if kept else "RA, the accuracy on the retained images, fell too far: do not use the model"


def with_finite_numbers(row: Row) -> dict[str, Any]:
    """The row with None in place of numbers that are not finite, which JSON cannot hold."""
    return _finite({**row, "attacks": _finite(row["attacks"])} if "attacks" in row else row)


def _finite(numbers: Row) -> dict[str, Any]:
    return {column: None if isinstance(value, float) and not isfinite(value) else value for column, value in numbers.items()}


def _broken(row: Row) -> list[str]:
    numbers = {**row, **row.get("attacks", {})}
    broken = [column for column, value in numbers.items() if isinstance(value, float) and not isfinite(value)]
    return [f"not finite: {', '.join(broken)}"] if broken else []


def _doubtful_request(retrain_UA: float, emptied: float, wrong_labels: bool) -> list[str]:
    """What Retrain knows of the forget set although it should not."""
    if wrong_labels and retrain_UA < 50:
        right = f"Retrain predicts {100 - retrain_UA:.1f}% of the labels that you called wrong"
        return [f"{right}; these labels may be right. Check some of these images."]
    if not wrong_labels and retrain_UA < 100 * emptied - RA_MARGIN:
        return ["Retrain recognises a class that it never saw: do images of it lie in the retain set?"]
    return []


def _lost(row: Row, original: Row, first_RA: float | None) -> list[str]:
    if row["RA"] >= (original["RA"] if first_RA is None else first_RA) - RA_MARGIN:
        return []
    whose = "the original's" if first_RA is None else "that of the original before all requests"
    return [f"RA is more than {RA_MARGIN:g} points below {whose}: the model is damaged"]


def _over_forgotten(row: Row, original: Row, retrain: Row | None) -> list[str]:
    """Forgotten so hard that forgetting itself can be read off; nothing where AUC did not fall by its standard error."""
    reference = 50.0 if retrain is None else retrain.get("AUC")
    area, before = row.get("AUC"), original.get("AUC")
    if area is None or reference is None or (before is not None and area >= before - row["AUC_error"]):
        return []
    below = reference - area
    if below <= max(AUC_MARGIN, STANDARD_ERRORS * row["AUC_error"]):
        return []
    whose = "50" if retrain is None else "Retrain's"
    return [
        f"over-forgetting: AUC {area:.1f} is {below:.1f} points below {whose}: forgotten images can be told from unseen ones"
    ]


def _triggered(row: Row, retrain: Row) -> list[str]:
    """A backdoor that the model still has; Retrain, which never saw the trigger, shows chance."""
    rate, chance = row.get("trigger_rate"), retrain.get("trigger_rate")
    if rate is None or chance is None or rate <= chance + TRIGGER_MARGIN:
        return []
    return [f"the trigger works: {rate:.1f}% of unseen images with it get its class, {chance:.1f}% by Retrain"]


def _unstable(row: Row) -> list[str]:
    """An attack whose result depends on the draw of its members."""
    draws = row.get("MIA_draws")
    if not draws:
        return []
    lowest, highest = draws["range"]
    spread = highest - lowest > DRAWS_MARGIN
    found = [f"{UNSTABLE}: its draws range from {lowest:.1f} to {highest:.1f}"] if spread else []
    if draws["voided"] > draws["draws"] / 2:
        found.append(f"{UNSURE}: {draws['voided']} of {draws['draws']} draws are void")
    return found


def _game(row: Row) -> list[str]:
    if "undone" in row:  # whatever it is, no attempt was good enough
        return [(UNDONE if row["undone"] else COSTLY).format(row["attempts"])]
    accuracy = row.get("balanced_accuracy_pretrained")
    if accuracy is None or accuracy >= 50 + CHANCE_MARGIN:
        return []
    return ["the attacker is no better than chance after pre-training, so the game cannot teach the model anything"]


def _unmoved(row: Row, original: Row) -> bool:
    """Whether a sound model shows no forgetting: UA did not rise, MIA and AUC did not leave their noise."""
    return (
        not row.get("undone")
        and row["RA"] >= original["RA"] - RA_MARGIN
        and row["UA"] <= original["UA"]
        and row["MIA"] <= original["MIA"] + DRAWS_MARGIN
        and (row.get("AUC") is None or original.get("AUC") is None or row["AUC"] >= original["AUC"] - row["AUC_error"])
    )
