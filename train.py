"""Train, unlearn, compare: composes the configuration, makes the objects of a run and hands over to `experiment.py`."""

import os
import sys
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dau_lightning import report, settings
from dau_lightning.error import InputError, TrainingError
from dau_lightning.folder import check_same_data, read_result

CONF = Path(__file__).parent / "conf"

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach main() below as they are


@hydra.main(config_path=str(CONF), config_name="config", version_base=None)
def run(config: DictConfig) -> None:
    """One job, of a sweep or alone."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    if (result := read_result(folder)) and not config.overwrite:
        check_same_data(result["settings"], plain, folder)
        print("finished before; overwrite=true runs it again")
        return report.print_run(result, folder)

    from dau_lightning.datamodule import Transform
    from dau_lightning.experiment import Experiment  # torch and Lightning, after every check that needs neither
    from dau_lightning.store import Store
    from dau_lightning.tracking import loggers

    names = {group: hydra_config.runtime.choices[group] for group in ("dataset", "network", "scheme", "sparsity", "baseline")}
    with loggers(folder, **plain["wandb"], name="/".join(folder.parts[-6:]), settings=plain) as made:
        result = Experiment(
            names=names,
            settings=plain,
            seed=config.seed,
            dataset=instantiate(config.dataset),
            transform=Transform(**plain["transform"]),
            scheme=instantiate(config.scheme),
            network=instantiate(config.network),
            method=instantiate(config.baseline),
            attacks={name: instantiate(attack) for name, attack in config.metric.items()},
            reference=config.reference,
            selection=config.selection,
            store=Store(Path(config.store.root)),
            loggers=made,
            folder=folder,
        ).run()
    report.print_run(result, folder)


def main() -> None:
    """The command line."""
    try:
        settings.check(sys.argv[1:], CONF)
        run()
    except (InputError, TrainingError, InstantiationException) as error:
        sys.exit(f"error: {' '.join(str(error).split())}")


if __name__ == "__main__":
    main()
