"""Outcomes that a reader must not take at face value: diverged, collapsed, over-forgotten, or nothing done at all."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

RA_MARGIN = 5.0  # points that unlearning may cost on what is retained
ERROR_MARGIN = 10.0  # points that a random forget set may do worse than images never seen: more gives it away (Streisand)
CHANCE_MARGIN = 1.0  # points from 50 within which an attacker has learned nothing

Row = Mapping[str, Any]


def flags(rows: Mapping[str, Row], emptied: float, first_RA: float | None = None) -> dict[str, list[str]]:
    """What is wrong with each row of a run, in words; an empty list where nothing is.

    Args:
        rows: by name, as in `result.json`: percent; of a selection run or not.
        emptied: share of the forget set whose class has nothing left to retain, so that a network that forgot it is wrong.
        first_RA: of the original of the first request, where this is a later one: many small losses are a large one.
    """
    hard = rows["retrain"]["UA"] if "retrain" in rows else 0.0  # images that are hard for one that never saw them may be wrong
    return {name: _of_row(name, row, rows["original"], emptied, first_RA, hard) for name, row in rows.items()}


def doubts(result: Mapping[str, Any]) -> list[tuple[str, str]]:
    """All that a reader of a `result.json` is warned of, with the label of the row that it is about; none for the whole run."""
    rows = result["rows"].values()
    return [("", warning) for warning in result.get("warnings", ())] + [
        (row["label"], flag) for row in rows for flag in row.get("flags", ())
    ]


def _of_row(name: str, row: Row, original: Row, emptied: float, first_RA: float | None, hard: float) -> list[str]:
    found = []
    numbers = {column: value for column, value in {**row, **row.get("attacks", {})}.items() if isinstance(value, float)}
    if broken := [column for column, value in numbers.items() if not isfinite(value)]:
        found.append(f"not finite: {', '.join(broken)}")
    if row["RA"] < (original["RA"] if first_RA is None else first_RA) - RA_MARGIN:
        whose = "the original's" if first_RA is None else "that of the original before all requests"
        found.append(f"RA is more than {RA_MARGIN:g} points below {whose}")
    error = row["judge_error"] if "judge_error" in row else 100 - row["TA"]
    if name != "original" and row["UA"] > max(100 * emptied + (1 - emptied) * error, hard) + ERROR_MARGIN:
        found.append(f"over-forgetting: UA is more than {ERROR_MARGIN:g} points above the error on images never seen")
    if name == "retrain" and row["UA"] < 100 * emptied - RA_MARGIN:
        found.append("Retrain names a class that it never saw: is it in the retain set?")
    if name not in ("original", "retrain", "retrain_again") and _outcome(row) == _outcome(original):
        found.append("nothing forgotten: UA, RA and every attack are the original's")
    accuracy = row.get("balanced_accuracy_pretrained")
    if accuracy is not None and accuracy < 50 + CHANCE_MARGIN:
        found.append("the attacker is at chance after its pre-training: the game has nothing to tell")
    return found


def _outcome(row: Row) -> tuple[Any, ...]:
    return row["UA"], row["RA"], row["MIA"], row.get("judge_MIA"), row.get("attacks")
