"""`audit.json` in a run folder: the findings of an audit, written after each test so that a killed audit can go on."""

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dau_lightning.storage.seal import load_tensors, read_json, save_tensors, usable_json, write_json

FILE, SCORES = "audit.json", "audit.safetensors"
PASS, FAIL, NOT_ENOUGH = "pass", "fail", "not enough data"  # the verdicts


def read_audit(folder: Path, weights: str) -> dict[str, Any]:
    """The content of `audit.json` if it is about these weights; else an empty one. A file that cannot be used is renamed.

    Args:
        folder: the run folder.
        weights: digest of the audited weights.
    """
    empty = {"weights": weights, "retrains": 0, "references": 0, "shadows": 0, "tests": {}}
    content = usable_json(folder / FILE, ("weights",))
    return empty | content if content and content["weights"] == weights else empty


def findings(folder: Path) -> dict[str, Any] | None:
    """The content of `audit.json`, whatever weights it is about; None if there is none, or it cannot be used."""
    with suppress(OSError, ValueError):
        return read_json(folder / FILE, ("summary",))
    return None


def write_audit(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `audit.json`, as a whole or not at all."""
    write_json(folder / FILE, content)


def scores_of(folder: Path) -> dict[str, Any]:
    """The arrays in `audit.safetensors`; empty if there are none, or they cannot be used."""
    with suppress(OSError, ValueError):
        return load_tensors(folder / SCORES, "numpy")[0]
    return {}


def add_scores(folder: Path, scores: Mapping[str, Any]) -> None:
    """Add the scores of single samples, arrays named `TEST/KIND/NAME`, to `audit.safetensors`."""
    if scores:
        save_tensors(folder / SCORES, scores_of(folder) | dict(scores), {})


def figures(test: Mapping[str, Any]) -> dict[str, float | None]:
    """The figures of `method`, `retrain` and `original` in a test of `audit.json`; that of `retrain` is the standard.

    >>> figures({"standard": 50.0, "figures": {"method": {"value": 55.0}, "retrain": {"value": 51.0}}})
    {'method': 55.0, 'retrain': 50.0, 'original': None}
    """
    found = {kind: test["figures"].get(kind, {}).get("value") for kind in ("method", "retrain", "original")}
    return found | ({"retrain": test["standard"]} if test.get("standard") is not None else {})
