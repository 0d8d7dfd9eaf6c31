"""What a run leaves of itself: weights, `result.json`, the ledger's entry, the model card, the rows in the loggers."""

import platform
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import Any

from dau_lightning.base.devices import hardware
from dau_lightning.data.split import Split, emptied_classes
from dau_lightning.evaluation.evaluator import Row
from dau_lightning.report.model_card import model_card
from dau_lightning.run.ledger import write as write_ledger
from dau_lightning.storage.atomic import atomic_write
from dau_lightning.storage.run_folder import given_files, write_result
from dau_lightning.storage.store import digest, save_weights
from dau_lightning.training.module import UnlearningModule, log
from dau_lightning.training.trainer import Training

PACKAGES = "torch", "torchvision", "lightning", "torchmetrics", "scikit-learn", "dau-lightning"
PARTS = "train", "retain", "forget", "val", "judge", "outside", "test_retain", "test_forget"
IN_LEDGER = (
    "dataset",
    "network",
    "scheme",
    "sparsity",
    "baseline",
    "seed",
    "data_hash",
    "split_hash",
    "request",
    "files",
    "warnings",
)


def record(
    training: Training, split: Split, method: UnlearningModule, rows: Mapping[str, Row], earlier: Sequence[str], **about: Any
) -> dict[str, Any]:
    """Write everything, `result.json` last: it says that the run is finished.

    Args:
        training: of the run; its folder and its loggers take it.
        split: the parts.
        method: what was asked for.
        rows: by kind of model.
        earlier: lines of the ledger that the run goes on with.
        about: what else `result.json` says, among it the choices of `Experiment.names`.

    Returns:
        The content of `result.json`.
    """
    for name, row in rows.items():
        numbers = {column: value for column, value in row.items() if isinstance(value, int | float)}
        nested = {f"{group}/{column}": value for group in ("gaps", "attacks") for column, value in row.get(group, {}).items()}
        log(training.loggers, f"row/{name}", 0, numbers | nested)
    hashes = {"data_hash": split.data_hash, "split_hash": split.split_hash}
    if method.from_scratch:
        save_weights(training.folder / "unlearned.safetensors", method.defender.network.state_dict(), hashes)
    result = {
        **about,
        "seed": training.seed,
        **hashes,
        "request": dict(split.request),
        "files": given_files(training.settings),
        "forgotten_classes": emptied_classes(split),
        "counts": {part: len(getattr(split, part)) for part in PARTS},
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version()},
        "hardware": hardware(training.device) | {"devices": training.devices},
        "settings": training.settings,
        "class_names": list(split.train.class_names),
        "image_shape": list(split.train.images.shape[1:]),
        "rows": rows,
    }
    if result["baseline"] != "original":  # which forgets nothing
        entry = {"time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()), **{name: result[name] for name in IN_LEDGER}}
        entry |= {"settings": training.settings["baseline"], "evidence": rows[result["baseline"]]}
        entry |= {"weights_sha256": digest(method.defender.network.state_dict())}
        result["ledger"] = write_ledger(training.folder, earlier, entry, split.forget.ids)
        with atomic_write(training.folder / "model_card.md") as temporary:
            temporary.write_text(model_card(result), encoding="utf-8")
    write_result(training.folder, result)
    return result
