"""Audits one run: every test on the run's models, its verdict, and a line for each test in `audit.json`."""

import shutil
import time
from collections.abc import Mapping
from dataclasses import asdict, replace
from math import inf
from typing import Any

import numpy as np
import torch

from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure, NotEnough, TimeOver
from dau_lightning.audit.figure_store import stored_figure
from dau_lightning.audit.further_models import Further, further_retrains
from dau_lightning.audit.plan import Planned
from dau_lightning.audit.read_case import read_case
from dau_lightning.audit.shadows import FOLDER
from dau_lightning.audit.verdict import RULE, summary_line, verdict
from dau_lightning.base.error import TrainingError
from dau_lightning.report.read import Run
from dau_lightning.storage.atomic import locked
from dau_lightning.storage.audit_file import NOT_ENOUGH, add_scores, read_audit, scores_of, write_audit
from dau_lightning.storage.seal import json_sha256, tensors_digest
from dau_lightning.training.trainer import process_settings

EARLIER = "found by an earlier audit, with other settings or models; the same command goes on here"
EXPOSED = 10  # images on the sheet of the most exposed ones


def audit(run: Run, tests: Mapping[str, Planned], numbers: Further, minutes: float | None) -> dict[str, Any]:
    """Audit a run, and write `audit.json` after each test. What an earlier audit has found with the same settings is kept.

    Args:
        run: the run.
        tests: the tests in their order.
        numbers: of further models to train; an earlier audit's are used too.
        minutes: time after which neither a test nor the training of a model is begun; None for no limit.

    Returns:
        The content of `audit.json`.

    Raises:
        InputError: the run cannot be audited.
    """
    deadline = inf if minutes is None else time.monotonic() + 60 * minutes
    with process_settings(), locked(run.folder / "audit.lock", f"which audits {run.folder}"):
        case = read_case(run, numbers.references, numbers.retrains)
        content = read_audit(run.folder, tensors_digest(case.models["method"].network.state_dict()))
        counts = {name: max(number, content[name]) for name, number in asdict(numbers).items()}
        case, known = replace(case, **counts, deadline=deadline), content["tests"]
        tests = {name: planned for name, planned in tests.items() if planned.test.applies(case)}
        fixed = [case.training.network.settings, case.split.wrong_labels, "retrain" in case.models]
        kept = {name: known[name] for name in tests if name in known}
        content = {**content, "split_hash": case.split.split_hash, **counts, "tests": kept}
        for name, planned in tests.items():
            further = case.counts("retrains", *planned.test.trains)
            key = json_sha256([RULE, planned.test.version, planned.settings, fixed, further])
            if known.get(name, {}).get("key") != key:
                found, scores = _finding(case, planned)
                complete = found.pop("complete")
                if not complete and kept.get(name, {}).get("figures"):
                    kept[name] = {**kept[name], "key": "", "why": EARLIER}  # which is better than nothing
                else:
                    kept[name] = {"key": key if complete else "", "meaning": planned.test.meaning, **found}
                    add_scores(run.folder, {f"{name}/{kind}": array for kind, array in scores.items()})
            content["tests"] = {test: kept[test] for test in tests if test in kept}
            content["summary"] = summary_line({test: entry["verdict"] for test, entry in content["tests"].items()})
            write_audit(run.folder, content)
        add_scores(run.folder, _most_exposed(case, scores_of(run.folder)))
        if all(entry["key"] for entry in content["tests"].values()):  # else the same command goes on with them
            shutil.rmtree(run.folder / FOLDER, ignore_errors=True)
        return content


def _most_exposed(case: Case, scores: Mapping[str, Any]) -> dict[str, Any]:
    """The forgotten images with the highest scores of RMIA, with these scores and labels; empty without RMIA."""
    if "rmia/method/forget" not in scores:
        return {}
    found = np.nan_to_num(scores["rmia/method/forget"], nan=-1.0)
    at = torch.from_numpy(np.argsort(-found, kind="stable")[:EXPOSED].copy())
    shown = case.part("forget")[at]
    return {
        "exposed/images": shown.images.numpy(),
        "exposed/scores": found[at.numpy()],
        "exposed/targets": shown.targets.numpy(),
    }


def _finding(case: Case, planned: Planned) -> tuple[dict[str, Any], dict[str, Any]]:
    """The finding of a test, without its key, and the scores of single samples."""
    started, test, figures, complete = time.monotonic(), planned.test, dict[str, Figure](), True
    try:
        if started > case.deadline:
            raise TimeOver("the minutes were over: the same command goes on here")
        retrains = further_retrains(case)
        case.model("retrain")  # every test compares with it
        kinds = ["method", "retrain", "original", *([] if test.of_methods else retrains)]
        figures = {kind: stored_figure(case, test, planned.settings, kind) for kind in kinds}
        said = asdict(verdict(test, figures, case.like_unseen))
        if doubt := test.doubt(case):
            said |= {"verdict": NOT_ENOUGH, "why": doubt}
    except (NotEnough, TrainingError) as error:
        complete = not isinstance(error, TimeOver | TrainingError)  # a later call may end otherwise
        said = {"verdict": NOT_ENOUGH, "why": str(error), **dict.fromkeys(("standard", "noise", "tolerance"))}
    found = said | {
        "complete": complete,
        "seconds": time.monotonic() - started,
        "figures": {kind: {"value": each.value, "error": each.error, **each.details} for kind, each in figures.items()},
    }
    scores = {f"{kind}/{name}": array for kind, each in figures.items() for name, array in each.arrays.items()}
    return found, scores
