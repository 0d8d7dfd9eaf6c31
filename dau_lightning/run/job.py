"""Runs one job: makes its objects from the composed configuration, runs it, draws its pictures and prints its table."""

import sys
from collections.abc import Mapping
from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from hydra.conf import HydraConf
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dau_lightning.base.child_process import further
from dau_lightning.base.error import TrainingError, require
from dau_lightning.run.quotes import typed_command
from dau_lightning.storage.atomic import write_text
from dau_lightning.storage.run_folder import FAILED, FinishedMeanwhile, RunFolder

if TYPE_CHECKING:
    from lightning.pytorch.loggers import Logger

    from dau_lightning.run.plan import Plan
    from dau_lightning.training.training import Configured, Training

DAMAGED = 3  # exit code
REMEDY = "Try a smaller baseline.lr or another baseline, or forget fewer images at once."
GROUPS = "dataset", "network", "scheme", "sparsity", "baseline"  # the groups whose choices name a run


def run(config: DictConfig, job: HydraConf) -> None:
    """Run a job, unless it is finished, and print its table.

    Args:
        config: the composed and checked configuration.
        job: Hydra's own configuration of the job.

    Raises:
        InputError: a setting, a file or the data cannot be used.
        TrainingError: a loss is not finite.
    """
    folder = RunFolder.of(Path(job.runtime.output_dir), config)
    quiet = further(config.trainer.devices, folder.path)
    try:
        if quiet or config.preview or not (result := folder.finished()):
            command = typed_command(job.overrides.task, sweep=job.mode == RunMode.MULTIRUN)
            result = make(settings_of(config), job.runtime.choices, folder, command, quiet)
            return None if quiet or config.preview else _show(result, folder, job)
    except FinishedMeanwhile:
        result = folder.finished() or {}
    except TrainingError as error:
        write_text(folder.path / FAILED, f"{error}\n")
        raise
    print("finished before; overwrite=true runs it again, with the images as they are now")
    if config.figures and not (folder.path / "report.html").is_file():  # the run was killed while it drew
        from dau_lightning.report.page import write_run_page

        write_run_page(result, folder.path)
    _show(result, folder, job)


def _show(result: dict[str, Any], folder: RunFolder, job: HydraConf) -> None:
    """Print the table of a finished run; a single run that failed on somebody's own weights ends the program with code 3."""
    from dau_lightning.evaluation.checks import failure
    from dau_lightning.report.terminal import print_run

    print_run(result, folder.path)
    if job.mode == RunMode.RUN and "source" in result["start"] and (reason := failure(result)):
        print(f"not passed: {reason}. The files are complete. {REMEDY}", file=sys.stderr)
        sys.exit(DAMAGED)


def make(
    settings: dict[str, Any],
    choices: Mapping[str, str],
    folder: RunFolder,
    command: str = "",
    quiet: bool = False,
    **given: Any,
) -> dict[str, Any]:
    """Make the objects of a run, and run it.

    Args:
        settings: the composed configuration.
        choices: the choice in every group.
        folder: the run folder.
        command: the command that the user typed.
        quiet: whether the process belongs to another device than the first, which alone logs and writes the results.
        given: `plan`, `dataset`, `scheme` and `network`, to use in place of those that the settings name.

    Returns:
        The content of `result.json`; empty in a quiet process and after a preview.
    """
    from dau_lightning.report.page import write_run_page  # imports torch, so after the checks that do not need it
    from dau_lightning.run.experiment import Experiment
    from dau_lightning.run.preview import preview
    from dau_lightning.run.record import record
    from dau_lightning.tracking.wandb import loggers
    from dau_lightning.tracking.wandb_summary import place, show
    from dau_lightning.training.trainer import process_settings

    names = {group: choices[group] for group in GROUPS}
    tracking = settings["wandb"] | place(names, settings, folder.path) | {"settings": settings | {"choices": names}}
    plan = given.get("plan") or plan_of(settings, folder)
    folder.path.mkdir(parents=True, exist_ok=True)
    silent = quiet or settings["preview"]
    with process_settings(), ExitStack() as held, nullcontext([]) if silent else loggers(folder.path, **tracking) as made:
        experiment = Experiment(
            names=names,
            dataset=given.get("dataset") or instantiate(settings["dataset"]),
            scheme=given.get("scheme") or instantiate(settings["scheme"]),
            method=instantiate(settings["baseline"]),
            attacks=attacks_of(settings),
            plan=plan,
            training=training_of(settings, folder, made, given.get("network")),
            folder=folder,
            start=partial(folder.start, held),
            figures=settings["figures"],
            trajectory_points=settings["dynamics"],
        )
        if (outcome := preview(experiment) if settings["preview"] else experiment.run()) is None:
            return {}
        result = record(experiment, outcome, command, settings)
        show(made, result, write_run_page(result, folder.path) if settings["figures"] else {}, folder.path)
    return result


def settings_of(config: DictConfig) -> dict[str, Any]:
    """The settings of a run; image size and normalisation follow the network where the configuration has null."""
    from dau_lightning.network.build import with_input_format

    return with_input_format(cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)))


def plan_of(settings: dict[str, Any], folder: RunFolder) -> "Plan":
    """The modes of the run, with the weights and the earlier run from which it starts."""
    from dau_lightning.run.ledger import previous_run
    from dau_lightning.run.plan import Plan
    from dau_lightning.storage.weights import read_weights

    modes = settings["reference"], settings["selection"], settings["val_from_test"]
    corruption = instantiate(settings["corruption"]) or None
    if not (earlier := settings["continue_from"]):
        path, key = settings["original"]["checkpoint"], settings["original"]["key"]
        return Plan(*modes, read_weights(path, key) if path else None, corruption=corruption)
    require(
        Path(earlier).expanduser().resolve() != folder.path.resolve(),
        f"continue_from must be another run than the one that is made, got {folder.path} for both: it would be written over",
    )
    previous = previous_run(earlier)
    previous.check_settings(settings)
    return Plan(*modes, previous.given, previous, corruption)


def attacks_of(settings: dict[str, Any]) -> "Configured":
    """The attacks of a run by name, torchmetrics metrics."""
    from dau_lightning.training.training import Configured

    return Configured({name: instantiate(attack) for name, attack in settings["metric"].items()}, settings["metric"])


def training_of(settings: dict[str, Any], folder: RunFolder, loggers: "list[Logger]", network: Any = None) -> "Training":
    """The training of a run.

    Args:
        settings: the composed configuration.
        folder: the run folder.
        loggers: receive every logged value.
        network: a function that copies a given network; None for the network that the settings name.
    """
    from dau_lightning.data.transform import Transform
    from dau_lightning.network.build import builder, library_of
    from dau_lightning.storage.store import Store
    from dau_lightning.training.trainer import TrainerSettings
    from dau_lightning.training.training import Configured, Training

    sparsity, node = instantiate(settings["sparsity"]), settings["network"]
    named = None if network and not library_of(node) else builder(node)  # nobody can make a user's own network anew
    return Training(
        network=Configured(network or named, node),
        new_network=named,
        sparsity=Configured(sparsity, settings["sparsity"]) if sparsity else None,
        recipe=settings["recipe"],
        transform=Transform(**settings["transform"]),
        trainer_settings=TrainerSettings(**settings["trainer"]),
        seed=settings["seed"],
        store=Store(Path(settings["store"]["root"])),
        folder=folder.path,
        configuration=folder.config_hash,
        loggers=loggers,
        checkpoint_seconds=settings["checkpoint"]["seconds"],
        compile=settings["compile"],
    )
