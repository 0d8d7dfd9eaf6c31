"""Train, unlearn, compare: composes the configuration, makes the objects of a run and hands over to `experiment.py`."""

import os
import sys
from pathlib import Path
from typing import Any, cast

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf

from dau_lightning import report, settings
from dau_lightning.error import InputError, TrainingError
from dau_lightning.folder import config_hash, read_result

os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach main() below as they are
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # threads that wait do not spin: tenfold where cores are shared
os.environ.setdefault("GOMP_SPINCOUNT", "0")
OmegaConf.register_new_resolver("config_hash", lambda *, _root_: config_hash(_root_), use_cache=False)


@hydra.main(config_path="conf", config_name="config", version_base=None)
def run(config: DictConfig) -> None:
    """One job, of a sweep or alone."""
    hydra_config = HydraConfig.get()
    folder = Path(hydra_config.runtime.output_dir)
    if (result := read_result(folder)) and not config.overwrite:
        print("finished before; overwrite=true runs it again")
        return report.print_run(result, folder)

    from dau_lightning.datamodule import Transform
    from dau_lightning.experiment import Experiment  # torch and Lightning, after every check that needs neither
    from dau_lightning.store import Store
    from dau_lightning.tracking import finish, make_loggers

    names = {group: hydra_config.runtime.choices[group] for group in ("dataset", "network", "scheme", "sparsity", "baseline")}
    plain = cast(dict[str, Any], OmegaConf.to_container(config, resolve=True))
    loggers = make_loggers(folder, **plain["wandb"], name="/".join(folder.parts[-6:]), settings=plain)
    experiment = Experiment(
        names=names,
        seed=config.seed,
        dataset=instantiate(config.dataset),
        transform=Transform(**plain["transform"]),
        scheme=instantiate(config.scheme),
        network=instantiate(config.network),
        network_settings=plain["network"],
        recipe=plain["recipe"],
        method=instantiate(config.baseline),
        attacks={name: instantiate(attack) for name, attack in config.metric.items()},
        reference=config.reference,
        selection=config.selection,
        store=Store(Path(config.store.root)),
        trainer=plain["trainer"],
        loggers=loggers,
        folder=folder,
    )
    result = experiment.run()
    finish(loggers)
    report.print_run(result, folder)


def main() -> None:
    """The command line."""
    try:
        settings.check(sys.argv[1:], Path(__file__).parent / "conf")
        run()
    except (InputError, TrainingError) as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
