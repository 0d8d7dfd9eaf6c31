"""The command line, `python train.py` or `dau-lightning`: train, unlearn and compare, in one job or in a sweep of many."""

import argparse
import os
import sys
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from string import Template
from typing import NoReturn

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf, open_dict

from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.base.error import InputError, line, one_line, require
from dau_lightning.base.nearest import did_you_mean
from dau_lightning.run import launcher
from dau_lightning.run.check import check
from dau_lightning.run.composition import composed, composing, register_by_labels, with_arguments
from dau_lightning.run.job import run
from dau_lightning.run.quotes import quoted
from dau_lightning.storage.run_folder import register_resolver

# The first two let OpenMP's threads spin for microseconds while they wait, then sleep. Longer spinning makes processes that
# share cores ten times slower; no spinning costs a process with its own cores half of its speed. The third variable makes
# Hydra pass errors on to `one_line`.
ENVIRONMENT = {"OMP_WAIT_POLICY": "PASSIVE", "GOMP_SPINCOUNT": "1000", "HYDRA_FULL_ERROR": "1"}
# Folders of yaml files from which users do not choose; those below experiment/ have settings of methods for one experiment.
NO_CHOICES = "hydra", "paper", "search", "audit", "tuned", "experiment/"


def main() -> None:
    """Run the command in `sys.argv`. A mistake in it ends the program with one line, before torch is imported."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    register_resolver()
    register_by_labels()
    launcher.register()
    with one_line():
        sweep = not {"-m", "--multirun"}.isdisjoint(sys.argv)
        arguments = [quoted(argument, sweep) for argument in sys.argv[1:]]
        flags, typed = _read(arguments)
        settings = with_arguments(typed)
        own = flags.config_dir and Path(flags.config_dir).resolve()
        require(not own or own.is_dir(), f"--config-dir must be a folder that exists, got {flags.config_dir!r}")
        searched = [f"hydra.searchpath=['{own}']"] if own else []
        if flags.help:
            return print(_help([*searched, *settings], own, flags.resolve))
        informs = flags.hydra_help or flags.version or flags.info or flags.shell_completion
        if not informs:
            check([*searched, *settings], flags.multirun)
        sys.argv[1:] = [*(argument for argument in arguments if argument not in typed), *settings]  # Hydra wants flags first
        try:
            hydra.main(config_path=str(CONFIG_FOLDER), config_name="config", version_base=None)(job)()
        except Exception as error:
            if informs or flags.resolve:  # no job ran, so the flags must be wrong
                raise InputError(line(error)) from error
            raise


def job(config: DictConfig) -> Exception | None:
    """Run one job; called by Hydra.

    Returns:
        In a sweep, the error of a failed job, which `sweep.py` reports while the other jobs go on; otherwise None.
    """
    context = HydraConfig.get()
    try:
        run(config, context)
    except Exception as error:
        if context.mode == RunMode.MULTIRUN:
            return error
        with one_line():
            raise


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise InputError(f"cannot read the command line: {message}")


def _read(arguments: Sequence[str]) -> tuple[argparse.Namespace, list[str]]:
    """The flags, which are those of Hydra that are useful here, and the settings, which may stand between flags."""
    parser = _Parser(add_help=False, allow_abbrev=False)
    one = parser.add_mutually_exclusive_group()
    for names in (["--run", "-r"], ["--multirun", "-m"], ["--shell-completion", "-sc"]):
        one.add_argument(*names, action="store_true")
    one.add_argument("--cfg", "-c", choices=["job", "hydra", "all"])
    one.add_argument("--info", "-i", nargs="?", const="all")
    for names in (["--help", "-h"], ["--hydra-help"], ["--version"], ["--resolve"]):
        parser.add_argument(*names, action="store_true")
    for names in (["--package", "-p"], ["--config-dir", "-cd"]):
        parser.add_argument(*names)
    flags, settings = parser.parse_known_args(arguments)
    for setting in settings:
        known = [f"--{name.replace('_', '-')}" for name in vars(flags)]
        hint = (
            did_you_mean(setting, known, 1) or f"; settings have no dashes: write {setting.lstrip('-').partition('=')[0]}=VALUE"
        )
        require(not setting.startswith("-"), f"unknown flag {setting}{hint}")
    return flags, settings


def _help(settings: Sequence[str], own: Path | None, resolve: bool) -> str:
    """The text of `--help`; Hydra's own function would take twice as long."""
    groups = defaultdict[str, set[str]](set)
    for folder in filter(None, (CONFIG_FOLDER, own)):
        for file in folder.glob("*/**/*.yaml"):
            groups[file.parent.relative_to(folder).as_posix()].add(file.stem)
    shown = [group for group in sorted(groups) if not group.startswith(NO_CHOICES)]
    with composing():
        config = composed(settings)
    template = Template(config.hydra.help.template)
    with open_dict(config):
        del config["hydra"]
    return template.substitute(
        APP_CONFIG_GROUPS="".join(f"{group}: {', '.join(sorted(groups[group]))}\n" for group in shown),
        CONFIG=OmegaConf.to_yaml(config, resolve=resolve),
    )
