"""The rows of Retrains and originals, evaluated once for all runs of a split, in the folder `rows` of the store."""

from dataclasses import asdict

import sklearn
import torch

from dau_lightning.base.hardware import hardware
from dau_lightning.data.loader import PlainLoader
from dau_lightning.evaluation.evaluator import Evaluator, Row
from dau_lightning.evaluation.trajectory import outputs_of
from dau_lightning.storage.atomic import locked
from dau_lightning.storage.seal import json_sha256, tensors_digest, usable_json, write_json
from dau_lightning.training.module import UnlearningModule

VERSION = 1  # raise it when a change of the code gives other rows, so that earlier ones are not used
PROBE = 64  # images whose outputs tell networks apart that have the same weights


def stored_row(evaluator: Evaluator, module: UnlearningModule) -> Row:
    """The row of a module, see `Evaluator.row`; from the store if another run has evaluated the same model there.

    With an attack of the user's own, whose code may change, every run evaluates.
    """
    training, split = evaluator.training, evaluator.split
    if not all(type(attack).__module__.startswith("dau_lightning.") for attack in evaluator.attacks.made.values()):
        return evaluator.row(module)
    probe = {"probe": PlainLoader(split.test_retain[torch.arange(min(PROBE, len(split.test_retain)))], training.transform)}
    outputs = {"logits": outputs_of(module.defender.to(training.device), probe, training.device)["probe"][0]}
    module.defender.cpu()
    content = {
        "version": VERSION,
        "split": [split.split_hash, split.wrong_labels, evaluator.with_test, evaluator.with_score],
        "judges": [split.judge.ids, split.judge_nonmembers.ids],
        "weights": tensors_digest(module.defender.network.state_dict()),
        "outputs": tensors_digest(outputs),  # code, and attributes that are no weights
        "transform": asdict(training.transform),
        "precision": training.trainer_settings.precision,
        "attacks": evaluator.attacks.settings,
        "measured on": [torch.__version__, sklearn.__version__, hardware(training.device)],
    }
    path = training.store.root / "rows" / f"{json_sha256(content)[:12]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), f"which evaluates {module.label}"):
        if (row := usable_json(path, ("UA", "RA"))) is None:
            row = evaluator.row(module)
            write_json(path, row)
    return row
