"""The command `python -m dau_lightning.search`."""

import json
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from functools import partial
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.base.error import InputError, one_line, require
from dau_lightning.baseline import TRAINED_BY_RECIPE
from dau_lightning.run.quotes import quoted

USAGE = """Search the settings of a method by the selection score, which sees neither Retrain nor a test image that TA counts.

  python -m dau_lightning.search baseline=finetune dataset=fashion trials=20

Settings and choices are those of python train.py; the ranges stand in conf/search/METHOD.yaml, or in a file of your own.
With experiment=NAME, trials have the settings of this experiment, and the result is for its runs alone.
  trials=20        trials in all; the same command goes on with a search, and several processes share it
  seeds=8          seeds of a trial, from 100 on; after two and after four of them, half of the trials stop
  folder=search    of the trials' runs and of the database
  ranges=FILE      ranges in place of conf/search/METHOD.yaml
The result becomes a preset; with a choice such as baseline/attacker=statistics, it is printed as a command instead."""

OWN = {"trials": "20", "seeds": "8", "folder": "search", "ranges": ""}
CHOSEN_BY_ORIGINAL = "memorised", "confident"
WHY = "it would ask for the error of unseen images, but a retrained model has another one on images that the original chose"
NO_PRESET = "nothing is written, since a preset cannot choose {}; a run with the result is\n"
# Settings of every run of a trial, which the user may repeat: no pictures, and a score from the validation set alone.
FIXED = ("selection=true", "reference=off", "figures=false", "dynamics=0", "preview=false", "wandb.mode=disabled")
FIXED += ("hydra.sweeper.params=null",)  # of an experiment the settings, not the sweep


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the search and write its result as a preset; print it if a part of the game was chosen, which no preset can do.

    Raises:
        InputError: an argument cannot be used.
    """
    given = [argument for argument in (sys.argv[1:] if arguments is None else arguments) if argument not in FIXED]
    if {"-h", "--help"} & set(given):
        print(USAGE)
        return
    own = OWN | {name: value for name, _, value in (argument.partition("=") for argument in given) if name in OWN}
    settings = [quoted(argument) for argument in given if argument.partition("=")[0] not in OWN]
    trials, seeds = (_count(name, own[name]) for name in ("trials", "seeds"))
    taken = {setting.partition("=")[0] for setting in (*FIXED, "seed=0")}
    if clash := [setting for setting in settings if setting.partition("=")[0] in taken]:
        raise InputError(f"the search sets {', '.join(sorted(taken))} itself, got {clash[0]}")

    from dau_lightning.run.check import check
    from dau_lightning.run.composition import configuration, with_arguments
    from dau_lightning.run.job import GROUPS
    from dau_lightning.search.preset import preset, preset_path, told, train_command
    from dau_lightning.search.study import Search
    from dau_lightning.storage.seal import json_sha256  # imports torch, so after the checks above

    settings = with_arguments(settings)
    check([*settings, *FIXED])
    _, choices = configuration([*settings, *FIXED])
    names: dict[str, str] = {group: choices[group] for group in GROUPS}
    _check_choices(names)
    ranges = _ranges(file := own["ranges"] or CONFIG_FOLDER / "search" / f"{names['baseline']}.yaml")
    _check_ranges(file, ranges, [*settings, *FIXED])
    study_name = "-".join([*names.values(), *_tags(settings)])
    root = Path(own["folder"])
    search = Search(ranges, seeds, partial(_score, settings, root / study_name))
    try:
        study = search.run(root / "search.db", f"{study_name}, {seeds} seeds, ranges {json_sha256(ranges)[:8]}", trials)
    except KeyboardInterrupt:
        sys.exit("interrupted: the same command goes on with the trials that are over")
    if parts := [setting for setting in settings if setting.startswith("baseline/")]:
        print(told(study, ranges, seeds, given), NO_PRESET.format(" ".join(parts)), train_command(study, settings), sep="")
        return
    path = preset_path(names, experiment := choices["experiment"])
    _write_preset(path, partial(preset, study, ranges, seeds, given), settings, experiment)


def _write_preset(path: Path, text_with: Callable[[Any], str], settings: Sequence[str], experiment: str | None) -> None:
    """Write and print a preset, and say for which runs it is.

    Args:
        path: of the preset.
        text_with: makes its text from the method's settings in the preset that was there.
        settings: of the search.
        experiment: the experiment for whose runs the preset is; None for all runs of its name.
    """
    from dau_lightning.search.preset import write

    former: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    write(path, text := text_with(former.get("baseline")))
    print(text, f"written: {path}", sep="\n")
    chosen = ("experiment", "dataset.root") if experiment else ("dataset",)
    named = tuple(f"{name}=" for name in (*chosen, "scheme", "sparsity", "baseline"))  # a preset's name has no network
    runs = f"experiment={experiment} with this name" if experiment else "its name"
    if others := [setting for setting in settings if not setting.startswith((*named, "baseline."))]:
        print(f"warning: the preset is for every run of {runs}; it was searched with {' '.join(others)}")
    if not path.is_absolute():
        print("use it with: dau-lightning --config-dir . ...")


def _check_choices(names: Mapping[str, str]) -> None:
    """Raise an `InputError` if a method or scheme cannot be searched."""
    method, scheme = names["baseline"], names["scheme"]
    by_recipe = method in TRAINED_BY_RECIPE
    require(not by_recipe, f"baseline={method} trains by the recipe (conf/recipe): there is nothing to search")
    chosen = scheme in CHOSEN_BY_ORIGINAL
    require(not chosen, f"scheme={scheme} has no selection score: {WHY}; search on scheme=random")


def _ranges(file: str | Path) -> dict[str, Any]:
    """The ranges in a yaml file."""
    require(Path(file).is_file(), f"there is no file {file} with the ranges to search: write one, and name it with ranges=FILE")
    try:
        ranges: Any = OmegaConf.to_container(OmegaConf.load(file))
    except (YAMLError, OmegaConfBaseException, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the ranges in {file}: {error}") from error
    require(isinstance(ranges, dict) and bool(ranges), f"{file} must have a line SETTING: RANGE for each setting to search")
    return ranges


def _check_ranges(file: str | Path, ranges: Mapping[str, Any], settings: Sequence[str]) -> None:
    """Raise an `InputError` unless the method has each setting and takes every choice of its range, and its ends."""
    from dau_lightning.run.check import check
    from dau_lightning.search.space import limits

    try:
        values = {name: ",".join(map(json.dumps, choices)) for name, choices in limits(ranges).items()}
        check([*settings, *(f"baseline.{name}={choices}" for name, choices in values.items())], sweep=True)
    except InputError as error:
        raise InputError(f"{file}: {error}") from error


def _score(settings: Sequence[str], folder: Path, values: Mapping[str, Any], seed: int) -> float:
    """The score of one run of a trial. Its folder is named by the values, so that a run with the same values resumes it."""
    from dau_lightning.run.composition import configuration
    from dau_lightning.run.job import make, settings_of
    from dau_lightning.storage.run_folder import FinishedMeanwhile, RunFolder

    chosen = [f"baseline.{name}={json.dumps(value)}" for name, value in values.items()]
    name = re.sub(r"[^\w.=-]", "_", ",".join(setting.removeprefix("baseline.") for setting in chosen))[:200]
    config, choices = configuration([*settings, *FIXED, *chosen, f"seed={seed}"])
    run = RunFolder.of(folder / name / f"seed={seed}", config)
    run.path.mkdir(parents=True, exist_ok=True)
    with open(run.path / "output.txt", "a") as file, redirect_stdout(file), redirect_stderr(file):
        try:
            result = run.finished() or make(settings_of(config), choices, run)
        except FinishedMeanwhile:  # by a trial of another process with the same values
            result = run.finished() or {}
    return result["rows"][choices["baseline"]]["score"]


def _tags(settings: Sequence[str]) -> list[str]:
    """The parts of a study's name after the choices: every other setting of the command."""
    named = ("dataset=", "network=", "scheme=", "sparsity=", "baseline=")
    return [re.sub(r"[^\w.=-]", "_", setting) for setting in sorted(settings) if not setting.startswith(named)]


def _count(name: str, text: str) -> int:
    require(text.isdecimal() and int(text) > 0, f"{name} must be an integer of at least 1, got {text!r}")
    return int(text)


if __name__ == "__main__":
    with one_line():
        main()
