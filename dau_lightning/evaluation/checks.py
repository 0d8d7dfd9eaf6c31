"""Warnings about a row: a model that diverged, collapsed or forgot too much, or a method that did nothing."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

RA_MARGIN = 5.0  # points of RA that unlearning may cost
ERROR_MARGIN = 10.0  # points above the error on unseen images: a higher error shows what was forgotten (Streisand effect)
CHANCE_MARGIN = 1.0  # points from 50 within which an attacker has learned nothing

Row = Mapping[str, Any]


def row_warnings(rows: Mapping[str, Row], emptied: float, first_RA: float | None = None) -> dict[str, list[str]]:
    """The warnings about each row of a run; an empty list where there is nothing to say.

    Args:
        rows: by kind of model, as in `result.json`, in percent.
        emptied: share of the forget set in classes without retain samples: a model that forgot them is wrong on all of it.
        first_RA: RA of the original of the first request, in percent, so that many small losses add up; None in a first one.
    """
    found = {kind: [*_broken(row), *_lost(row, rows["original"], first_RA), *_game(row)] for kind, row in rows.items()}
    retrain_UA = rows["retrain"]["UA"] if "retrain" in rows else 0.0  # images may be hard for a model that never saw them
    for kind, row in rows.items():
        found[kind] += _forgotten(kind, row, rows["original"], emptied, retrain_UA)
    return found


def all_warnings(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All warnings in a `result.json`, each with the label of its row; the label is empty for the whole run."""
    rows = result["rows"].values()
    return [("", warning) for warning in result.get("warnings", ())] + [
        (row["label"], warning) for row in rows for warning in row.get("flags", ())
    ]


def _broken(row: Row) -> list[str]:
    numbers = {column: value for column, value in {**row, **row.get("attacks", {})}.items() if isinstance(value, float)}
    broken = [column for column, value in numbers.items() if not isfinite(value)]
    return [f"not finite: {', '.join(broken)}"] if broken else []


def _lost(row: Row, original: Row, first_RA: float | None) -> list[str]:
    if row["RA"] >= (original["RA"] if first_RA is None else first_RA) - RA_MARGIN:
        return []
    whose = "the original's" if first_RA is None else "that of the original before all requests"
    return [f"RA is more than {RA_MARGIN:g} points below {whose}"]


def _forgotten(kind: str, row: Row, original: Row, emptied: float, retrain_UA: float) -> list[str]:
    found, error = [], row["judge_error"] if "judge_error" in row else 100 - row["TA"]
    if kind != "original" and row["UA"] > max(100 * emptied + (1 - emptied) * error, retrain_UA) + ERROR_MARGIN:
        found.append(f"over-forgetting: UA is more than {ERROR_MARGIN:g} points above the error on images never seen")
    if kind == "retrain" and row["UA"] < 100 * emptied - RA_MARGIN:
        found.append("Retrain recognises a class that it never saw: do images of it lie in the retain set?")
    if kind not in ("original", "retrain", "retrain_again") and _outcome(row) == _outcome(original):
        found.append("nothing forgotten: UA, RA and every attack are the original's")
    return found


def _game(row: Row) -> list[str]:
    accuracy = row.get("balanced_accuracy_pretrained")
    if accuracy is None or accuracy >= 50 + CHANCE_MARGIN:
        return []
    return ["the attacker is at chance after its pre-training: the game has nothing to tell"]


def _outcome(row: Row) -> tuple[Any, ...]:
    return row["UA"], row["RA"], row["MIA"], row.get("judge_MIA"), row.get("attacks")
