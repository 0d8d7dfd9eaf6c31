"""Figures of Retrains and of the original, measured once for all runs of a split, in the folder `figures` of the store."""

import json
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure
from dau_lightning.storage.atomic import locked
from dau_lightning.storage.seal import json_sha256, load_tensors, save_tensors, tensors_digest
from dau_lightning.storage.store import RECIPE_NUMBER


def stored_figure(case: Case, test: AuditTest, settings: Mapping[str, Any], kind: str) -> Figure:
    """The figure of a model in a test, from the store if an audit has measured it; that of `method` stands in `audit.json`.

    Args:
        case: the run under audit.
        test: the test.
        settings: from which the test was made.
        kind: see `AuditTest.measure`.

    Raises:
        NotEnough: see `AuditTest.measure`.
    """
    if kind == "method":
        return test.measure(case, kind)
    weights = [tensors_digest(case.model(each).state_dict()) for each in (kind, "retrain", "original")]
    content = [test.version, RECIPE_NUMBER, dict(settings), case.split.split_hash, case.split.wrong_labels, case.seed, weights]
    content += [dict(case.training.network.settings), case.counts(*test.trains)]
    if test.of_methods:
        content.append(kind)  # its shadow models', whose weights are not those of the run's models
    path = case.training.store.root / "figures" / f"{json_sha256(content)[:12]}.safetensors"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock")):
        with suppress(FileNotFoundError, ValueError):
            arrays, about = load_tensors(path, "numpy")
            return Figure(json.loads(about["value"]), arrays.pop("influence"), json.loads(about["details"]), arrays)
        figure = test.measure(case, kind)
        about = {"value": json.dumps(figure.value), "details": json.dumps(dict(figure.details))}
        save_tensors(path, {"influence": figure.influence, **figure.arrays}, about)
    return figure
