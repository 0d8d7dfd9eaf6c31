"""Train, unlearn, compare: composes the configuration, makes the objects of a run and hands over to `experiment.py`."""

import os
import sys
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dau_lightning import report, settings
from dau_lightning.error import one_line
from dau_lightning.folder import check_same_data, read_result, start

CONF = Path(__file__).parent / "conf"
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach `one_line` as they are


def run(config: DictConfig, choices: dict[str, str], folder: Path) -> None:
    """From a configuration to a table."""
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    if (result := read_result(folder)) and not config.overwrite:
        check_same_data(result["settings"], plain, folder)
        print("finished before; overwrite=true runs it again")
        return report.print_run(result, folder)

    start(folder, config)
    from dau_lightning.experiment import Experiment, Store, Transform  # torch, after every check that needs none
    from dau_lightning.tracking import loggers

    with loggers(folder, **plain["wandb"], name="/".join(folder.parts[-6:]), settings=plain) as made:
        result = Experiment(
            names={group: choices[group] for group in ("dataset", "network", "scheme", "sparsity", "baseline")},
            settings=plain,
            **{name: config[name] for name in ("seed", "reference", "selection")},
            **{name: instantiate(config[name]) for name in ("dataset", "scheme", "network")},
            transform=Transform(**plain["transform"]),
            method=instantiate(config.baseline),
            attacks={name: instantiate(attack) for name, attack in config.metric.items()},
            store=Store(Path(config.store.root)),
            loggers=made,
            folder=folder,
        ).run()
    report.print_run(result, folder)


@hydra.main(config_path=str(CONF), config_name="config", version_base=None)
def main(config: DictConfig) -> None:
    """One job, of a sweep or alone."""
    with one_line(sweep=HydraConfig.get().mode == RunMode.MULTIRUN):
        run(config, HydraConfig.get().runtime.choices, Path(HydraConfig.get().runtime.output_dir))


if __name__ == "__main__":
    with one_line():
        settings.check(sys.argv[1:], CONF)
        main()
