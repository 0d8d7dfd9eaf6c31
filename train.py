"""Train, unlearn, compare: the command line. Mistakes in it are told before torch is imported; `job.py` does the rest."""

import os
import sys
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig

from dau_lightning.base.error import one_line
from dau_lightning.run import command_line as settings
from dau_lightning.run.job import run

CONF = Path(__file__).parent / "conf"
os.environ.setdefault("HYDRA_FULL_ERROR", "1")  # errors reach `one_line` as they are


@hydra.main(config_path=str(CONF), config_name="config", version_base=None)
def main(config: DictConfig) -> None:
    """One job, of a sweep or alone."""
    with one_line(sweep=HydraConfig.get().mode == RunMode.MULTIRUN):
        run(config, HydraConfig.get())


if __name__ == "__main__":
    with one_line():
        sys.argv[1:] = map(settings.quoted, sys.argv[1:])
        settings.check(sys.argv[1:], CONF)
        main()
