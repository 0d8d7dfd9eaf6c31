"""Train, unlearn, compare: composes the configuration, makes the objects of a run and hands over to `experiment.py`."""

import os
import sys
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.conf import HydraConf
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dau_lightning import report, settings
from dau_lightning.condition import quoted
from dau_lightning.error import one_line
from dau_lightning.folder import check_same_data, command, read_result, start
from dau_lightning.further import further

CONF = Path(__file__).parent / "conf"
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach `one_line` as they are


def run(config: DictConfig, job: HydraConf) -> None:
    """From a configuration to a table."""
    folder, plain = Path(job.runtime.output_dir), cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    if (result := read_result(folder)) and not config.overwrite:
        check_same_data(result["settings"], plain, folder)
        print("finished before; overwrite=true runs it again")
        return report.print_run(result, folder)

    quiet = further(config.trainer.devices, folder)
    from dau_lightning.experiment import Experiment  # torch, after every check that needs none
    from dau_lightning.ledger import former
    from dau_lightning.report.draw import draw
    from dau_lightning.showcase import place, show
    from dau_lightning.tracking import loggers
    from dau_lightning.training import Training
    from dau_lightning.weights import checkpoint
    from dau_lightning.zoo import builder, followed

    plain = followed(plain)
    before = former(plain["continue_from"]) if plain["continue_from"] else None
    own = checkpoint(plain["original"]["checkpoint"]) if plain["original"]["checkpoint"] and not before else None
    names = {group: job.runtime.choices[group] for group in ("dataset", "network", "scheme", "sparsity", "baseline")}
    about = plain["wandb"] | place(names, plain, folder) | {"settings": plain | {"choices": names}}
    with nullcontext([]) if quiet else loggers(folder, **about) as made:
        training = Training(builder(plain["network"]), instantiate(config.sparsity) or None, plain, made, folder)
        result = Experiment(
            names=names,
            **{name: instantiate(plain[name]) for name in ("dataset", "scheme")},
            **{name: config[name] for name in ("reference", "selection", "val_from_test", "figures", "dynamics")},
            method=instantiate(config.baseline),
            attacks={name: instantiate(attack) for name, attack in config.metric.items()},
            training=training,
            start=partial(start, folder, config),
            given=before.given if before else own,
            former=before,
            command=command(job.overrides.task, sweep=job.mode == RunMode.MULTIRUN),
        ).run()
        if quiet:
            return
        show(made, result, draw(result, folder) if config.figures else {}, folder)
    report.print_run(result, folder)


@hydra.main(config_path=str(CONF), config_name="config", version_base=None)
def main(config: DictConfig) -> None:
    """One job, of a sweep or alone."""
    with one_line(sweep=HydraConfig.get().mode == RunMode.MULTIRUN):
        run(config, HydraConfig.get())


if __name__ == "__main__":
    with one_line():
        sys.argv[1:] = map(quoted, sys.argv[1:])
        settings.check(sys.argv[1:], CONF)
        main()
