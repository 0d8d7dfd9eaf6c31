"""One job: from a composed configuration to a finished run, its pictures and its table."""

from contextlib import ExitStack, nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

from hydra.conf import HydraConf
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dau_lightning.base.child_process import further
from dau_lightning.base.error import TrainingError, require
from dau_lightning.storage.atomic import atomic_write
from dau_lightning.storage.run_folder import FAILED, FinishedMeanwhile, command, finished, start


def run(config: DictConfig, job: HydraConf) -> None:
    """Run a job, unless it is finished, and print its table.

    Args:
        config: composed and checked.
        job: what Hydra knows of it.

    Raises:
        InputError: something given cannot be used.
        TrainingError: a loss is not finite.
    """
    folder = Path(job.runtime.output_dir)
    quiet = further(config.trainer.devices, folder)
    try:
        if quiet or not (result := finished(folder, config)):
            return _make(config, job, folder, quiet)
    except FinishedMeanwhile:
        result = finished(folder, config) or {}
    except TrainingError as error:
        with atomic_write(folder / FAILED) as temporary:
            temporary.write_text(f"{error}\n")
        raise
    from dau_lightning.report.terminal import print_run

    print("finished before; overwrite=true runs it again, with the images as they are now")
    if config.figures and not (folder / "report.html").is_file():  # killed while it drew
        from dau_lightning.report.draw import draw

        draw(result, folder)
    print_run(result, folder)


def _make(config: DictConfig, job: HydraConf, folder: Path, quiet: bool) -> None:
    """Make the objects of a run, and run it; a quiet one belongs to a further device, and leaves the end to its leader."""
    from dau_lightning.network.build import builder, with_input_format
    from dau_lightning.report.draw import draw
    from dau_lightning.report.terminal import print_run
    from dau_lightning.run.experiment import Experiment  # torch, after every check that needs none
    from dau_lightning.run.ledger import previous_run
    from dau_lightning.storage.weights import checkpoint
    from dau_lightning.tracking.wandb import loggers
    from dau_lightning.tracking.wandb_summary import place, show
    from dau_lightning.training.trainer import Training

    plain = with_input_format(cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)))
    before = previous_run(plain["continue_from"]) if plain["continue_from"] else None
    require(
        before is None or Path(plain["continue_from"]).expanduser().resolve() != folder.resolve(),
        f"continue_from must be another run than the one that is made, got {folder} for both: it would be written over",
    )
    own = checkpoint(plain["original"]["checkpoint"]) if plain["original"]["checkpoint"] and not before else None
    names = {group: job.runtime.choices[group] for group in ("dataset", "network", "scheme", "sparsity", "baseline")}
    about = plain["wandb"] | place(names, plain, folder) | {"settings": plain | {"choices": names}}
    with ExitStack() as held, nullcontext([]) if quiet else loggers(folder, **about) as made:
        training = Training(builder(plain["network"]), instantiate(config.sparsity) or None, plain, made, folder)
        result = Experiment(
            names=names,
            **{name: instantiate(plain[name]) for name in ("dataset", "scheme")},
            **{name: config[name] for name in ("reference", "selection", "val_from_test", "figures", "dynamics")},
            method=instantiate(config.baseline),
            attacks={name: instantiate(attack) for name, attack in config.metric.items()},
            training=training,
            start=partial(start, folder, config, held),
            given=before.given if before else own,
            former=before,
            command=command(job.overrides.task, sweep=job.mode == RunMode.MULTIRUN),
        ).run()
        if quiet:
            return
        show(made, result, draw(result, folder) if config.figures else {}, folder)
    print_run(result, folder)
