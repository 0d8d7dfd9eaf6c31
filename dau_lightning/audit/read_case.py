"""Reads a finished run from what it left: settings, weights and hashes; the images are loaded again and checked."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from torch import Tensor

from dau_lightning.audit.case import Case
from dau_lightning.base.error import InputError, require
from dau_lightning.baseline.original import Original
from dau_lightning.baseline.retrain import Retrain
from dau_lightning.data.split import Split
from dau_lightning.network.defender import Defender
from dau_lightning.report.read import Run
from dau_lightning.run.job import plan_of, training_of
from dau_lightning.run.plan import Plan
from dau_lightning.run.scores import scored_split
from dau_lightning.storage.run_folder import RunFolder
from dau_lightning.storage.seal import load_tensors, tensors_digest
from dau_lightning.storage.store import get
from dau_lightning.training.training import Method, Training

AGAIN = "make it again with the run's own command and overwrite=true"


def read_case(run: Run, references: int, retrains: int) -> Case:
    """The case of a finished run.

    Args:
        run: the run.
        references: the number of reference models that the audit will train by the original's recipe.
        retrains: the number of further Retrains that it will train by Retrain's.

    Raises:
        InputError: the run was judged by the selection score or made from Python, its images, weights or store are not what
            they were, or its networks are of another recipe.
    """
    result = run.result
    settings = {"corruption": None, **result["settings"]}  # runs of version 0.2.0 lack it
    require(result["dataset"] != "python", f"{run.folder} was made by unlearn() from Python: no command can load its images")
    require(not result["selection"], f"{run.folder} was judged by the selection score: no test may use its test images")
    folder = RunFolder(run.folder, "", "", {}, ".", overwrite=False)
    plan, training = plan_of(settings, folder), training_of(settings, folder, [])
    training.trainer([])  # finds the device
    data, scheme = instantiate(settings["dataset"])(), instantiate(settings["scheme"])
    split = scored_split(plan, training, scheme, data, lambda split: split, may_train=False)
    require(
        split.split_hash == result["split_hash"],
        f"{run.folder} has another split than the images of today give: {AGAIN}, or give it the images that it had",
    )
    own_recipe = result["start"].get("recipe") == training.recipe
    needed = "references" if references else "retrains" if retrains and "retrain" not in result["rows"] else ""
    require(
        own_recipe or not needed,
        f"{needed} must be 0 for {run.folder}: its original was trained by another recipe than recipe.*, which is theirs",
    )
    models = _models(run, plan, training, split)
    mask = training.mask(split, Original)
    names = {"original": "original", "method": result["baseline"]}
    seconds = {kind: result["rows"][name]["seconds"] for kind, name in names.items()}
    alone = replace(
        training,
        trainer_settings=replace(training.trainer_settings, devices=1),
        configuration=tensors_digest(models["method"].network.state_dict()),
    )
    method = instantiate(settings["baseline"])
    return Case(split, alone, method, mask, models, retrains, references, own_recipe=own_recipe, seconds=seconds)


def _models(run: Run, plan: Plan, training: Training, split: Split) -> dict[str, Defender]:
    """The models of the run."""
    rows = run.result["rows"]
    method = training.module(Original, split).defender
    method.network.load_state_dict(_unlearned(run))
    models = {"method": method}
    if plan.start:
        models["original"] = training.module(Original, split).defender
        plan.start.load_into(models["original"].network)
    else:
        models["original"] = _stored(run, Original, training, split, rows["original"])
    if "retrain" in rows:
        models["retrain"] = _stored(run, Retrain, training, split, rows["retrain"])
    return models


def _unlearned(run: Run) -> dict[str, Tensor]:
    path = run.folder / "unlearned.safetensors"
    try:
        weights, about = load_tensors(path, "pt")
    except (FileNotFoundError, ValueError) as error:
        reason = "there are none" if isinstance(error, FileNotFoundError) else str(error)
        raise InputError(f"{path} must hold the weights of the run ({reason}): {AGAIN}") from error
    require(about.get("split_hash") == run.result["split_hash"], f"{path} holds weights of another split: {AGAIN}")
    return weights


def _stored(run: Run, method: Method, training: Training, split: Split, row: Mapping[str, Any]) -> Defender:
    """A defender with the weights that the store has for the run's original or Retrain."""
    module = training.module(method, split)
    content = training.content(module, split)
    path = training.store.path(module.phase, content)
    require(
        Path(row["store"]).name == path.name,
        f"{run.folder}: its {module.label} has another recipe ({Path(row['store']).name}, now {path.name}): {AGAIN}",
    )
    if (entry := get(path, content)) is None:
        raise InputError(
            f"{run.folder} needs its {module.label}, and {path} is missing: work where the run was made, or {AGAIN}"
        )
    module.defender.network.load_state_dict(entry.weights)
    return module.defender
