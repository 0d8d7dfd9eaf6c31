"""Writes the results of a run: weights, `result.json`, ledger and model card into its folder, its rows to the loggers."""

import platform
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from dau_lightning.base.hardware import hardware
from dau_lightning.data.split import emptied_classes
from dau_lightning.report.model_card import model_card
from dau_lightning.run.experiment import Experiment, Outcome
from dau_lightning.run.ledger import write as write_ledger
from dau_lightning.storage.atomic import write_text
from dau_lightning.storage.seal import save_tensors, tensors_digest
from dau_lightning.tracking.wandb_summary import flat_numbers
from dau_lightning.training.module import log

PACKAGES = "torch", "torchvision", "lightning", "torchmetrics", "scikit-learn", "dau-lightning"
PARTS = "train", "retain", "forget", "val", "judge", "judge_nonmembers", "test_retain", "test_forget", "triggered"
IN_LEDGER = "seed", "data_hash", "split_hash", "request", "files", "warnings"


def record(experiment: Experiment, outcome: Outcome, command: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write all files of a run; `result.json`, which says that the run is finished, comes last.

    Args:
        experiment: the objects of the run.
        outcome: the outcome of the run.
        command: the command that the user typed; empty from Python.
        settings: the composed configuration.

    Returns:
        The content of `result.json`.
    """
    training, split, weights = experiment.training, outcome.split, outcome.module.defender.network.state_dict()
    folder, method = experiment.folder, experiment.names["baseline"]
    for kind, row in outcome.rows.items():
        log(training.loggers, f"row/{kind}", 0, flat_numbers(row))
    if outcome.module.from_scratch:
        hashes = {"data_hash": split.data_hash, "split_hash": split.split_hash}
        save_tensors(folder.path / "unlearned.safetensors", weights, hashes)
    result = {
        **experiment.names,
        "selection": experiment.plan.selection,
        "command": command,
        "warnings": outcome.warnings,
        "start": outcome.start,
        "seed": training.seed,
        "data_hash": split.data_hash,
        "split_hash": split.split_hash,
        "request": dict(split.request),
        "files": folder.files,
        "forgotten_classes": emptied_classes(split),
        "counts": {part: len(images) for part in PARTS if (images := getattr(split, part)) is not None},
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "hardware": hardware(training.device) | {"devices": training.devices},
        "settings": settings,
        "class_names": list(split.train.class_names),
        "image_shape": list(split.train.shape[1:]),
        "rows": outcome.rows,
    }
    if method != "original":  # the original forgets nothing
        earlier = experiment.plan.previous.lines if experiment.plan.previous else ()
        entry = {**experiment.names, **{name: result[name] for name in IN_LEDGER}, "settings": settings["baseline"]}
        entry |= {"evidence": outcome.rows[method], "weights_sha256": tensors_digest(weights)}
        result["ledger"] = write_ledger(folder.path, earlier, entry, split.forget.ids)
        write_text(folder.path / "model_card.md", model_card(result))
    folder.write_result(result)
    return result
