"""The rows of Retrains and originals, evaluated once for all runs of a split, in the folder `rows` of the store."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import torch

from dau_lightning.base.devices import hardware
from dau_lightning.evaluation.evaluator import Evaluator, Row
from dau_lightning.storage.atomic import locked, write_text
from dau_lightning.storage.run_folder import read_json
from dau_lightning.storage.seal import file_sha256, json_sha256, seal, tensors_digest
from dau_lightning.storage.store import RECIPE_NUMBER
from dau_lightning.training.module import UnlearningModule

PACKAGES = "metric", "evaluation"  # a change of their code makes other rows


def stored_row(evaluator: Evaluator, module: UnlearningModule) -> Row:
    """The row of a module, see `Evaluator.row`; from the store if another run has evaluated the same weights there.

    A row depends on the weights and on the code of network and attacks: a class of a notebook, whose code is in no file, is
    evaluated every time.
    """
    training, network = evaluator.training, module.defender.network
    classes = {type(each) for each in (network, *evaluator.attacks.made.values())}
    written = [getattr(sys.modules[each.__module__], "__file__", None) for each in classes]
    if None in written:
        return evaluator.row(module)
    package = Path(__file__).parent.parent
    files = {Path(str(file)) for file in written} | {file for name in PACKAGES for file in (package / name).glob("*.py")}
    content = {
        "code": [RECIPE_NUMBER, *sorted(file_sha256(file) for file in files)],
        "split": [evaluator.split.split_hash, evaluator.split.wrong_labels, evaluator.with_test, evaluator.with_score],
        "weights": tensors_digest(network.state_dict()),
        "network": training.network.settings,
        "transform": asdict(training.transform),
        "precision": training.trainer_settings.precision,
        "attacks": evaluator.attacks.settings,
        "measured on": [torch.__version__, hardware(training.device)],
    }
    path = training.store.root / "rows" / f"{json_sha256(content)[:12]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    with locked(path.with_suffix(".lock"), f"which evaluates {module.label}"):
        if (row := read_json(path, ("UA", "RA"))) is None:
            row = evaluator.row(module)
            write_text(path, json.dumps(seal(row)))
    return row
