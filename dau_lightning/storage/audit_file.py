"""`audit.json` in a run folder: the findings of an audit, written after each test so that a killed audit can go on."""

import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from dau_lightning.storage.atomic import set_aside, write_text
from dau_lightning.storage.seal import load_tensors, save_tensors, seal, unseal

FILE, SCORES = "audit.json", "audit.safetensors"


def read_audit(folder: Path, weights: str) -> dict[str, Any]:
    """The content of `audit.json` if it is about these weights; else an empty one. A file that cannot be used is renamed.

    Args:
        folder: the run folder.
        weights: digest of the audited weights.
    """
    path, empty = folder / FILE, {"weights": weights, "references": 0, "shadows": 0, "tests": {}}
    try:
        content = unseal(json.loads(path.read_text()))
        return content if content["weights"] == weights else empty
    except FileNotFoundError:
        return empty
    except (ValueError, KeyError, AttributeError) as error:
        set_aside(path, error)
        return empty


def findings(folder: Path) -> dict[str, Any] | None:
    """The content of `audit.json`, whatever weights it is about; None if there is none, or it cannot be used."""
    with suppress(OSError, ValueError):
        content = unseal(json.loads((folder / FILE).read_text()))
        return content if "summary" in content else None
    return None


def write_audit(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `audit.json`, as a whole or not at all."""
    write_text(folder / FILE, json.dumps(seal(content), indent=2, allow_nan=False) + "\n")


def add_scores(folder: Path, scores: Mapping[str, Any]) -> None:
    """Add the scores of single samples, arrays named `TEST/KIND/NAME`, to `audit.safetensors`."""
    known: dict[str, Any] = {}
    with suppress(FileNotFoundError, ValueError):  # a damaged file is written anew, by the tests that run
        known, _ = load_tensors(folder / SCORES, "numpy")
    if scores:
        save_tensors(folder / SCORES, known | dict(scores), {})
