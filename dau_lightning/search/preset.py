"""Writes the result of a search as a preset: a yaml file from which later runs of the same choices take their settings."""

import json
import shlex
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from optuna import Study
from optuna.distributions import FloatDistribution
from optuna.trial import FrozenTrial, TrialState

from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.search.space import described
from dau_lightning.search.study import FIRST_SEED, best
from dau_lightning.storage.atomic import write_text

ENDED = TrialState.COMPLETE, TrialState.PRUNED  # not those that failed, or that another process still runs
WIDTH = 120  # most characters in a line of the comment


def preset_path(names: Mapping[str, str], experiment: str | None = None) -> Path:
    """The path for the preset of a combination of choices: in `conf/` in a clone, otherwise in the working folder.

    Args:
        names: the choices `dataset`, `baseline`, `scheme` and `sparsity`.
        experiment: the experiment whose runs have the preset; None: all runs with these choices.
    """
    in_clone = (CONFIG_FOLDER.parent / "pyproject.toml").is_file()
    folder = Path("experiment", experiment) if experiment else Path("tuned")
    groups = ("baseline", "scheme", "sparsity") if experiment else ("dataset", "baseline", "scheme", "sparsity")
    return (CONFIG_FOLDER / folder if in_clone else folder) / f"{'-'.join(names[group] for group in groups)}.yaml"


def preset(
    study: Study, ranges: Mapping[str, Any], seeds: int, arguments: Sequence[str], former: Mapping[str, Any] | None = None
) -> str:
    """The yaml of the best trial, below a comment that says how it was found.

    Args:
        study: the finished study.
        ranges: the ranges that were searched, see `space.suggested`.
        seeds: number of seeds in a trial.
        arguments: the arguments of the search command. Settings `baseline.NAME=VALUE` among them belong to the preset too.
        former: the settings of the method in the preset that the trials ran with; those that the search did not change stay.
    """
    settings = [argument for argument in arguments if argument.startswith("baseline.")]
    node = OmegaConf.merge({"baseline": former or {}}, OmegaConf.from_dotlist(settings))
    for name, value in _rounded(best(study)[0]).items():
        OmegaConf.update(node, f"baseline.{name}", value)
    return told(study, ranges, seeds, arguments) + OmegaConf.to_yaml(node)


def told(study: Study, ranges: Mapping[str, Any], seeds: int, arguments: Sequence[str]) -> str:
    """The lines of a yaml comment on how the best trials were found; for the arguments see `preset`."""
    trials, ended = best(study), len(study.get_trials(states=ENDED))
    scores = "; ".join(f"{trial.value:.2f} ({_listed(_rounded(trial))})" for trial in trials)
    command = [argument for argument in arguments if not argument.startswith("folder=")]  # where trials stand changes nothing
    last = FIRST_SEED + seeds - 1
    chosen_on = f"mean of seeds {FIRST_SEED} to {last}" if seeds > 1 else f"seed {FIRST_SEED}"
    comment = (
        f"By the selection score, {chosen_on}, {ended} trials over "
        f"{described(ranges)}. Best: {scores}. Command: python -m dau_lightning.search {shlex.join(map(_anywhere, command))}"
    )
    lines = {"initial_indent": "# ", "subsequent_indent": "# ", "break_long_words": False, "break_on_hyphens": False}
    return textwrap.fill(comment, WIDTH, **lines) + "\n"


def train_command(study: Study, settings: Sequence[str]) -> str:
    """The command of a run with the best trial's values; `settings`: those of the search."""
    found = [f"baseline.{name}={json.dumps(value)}" for name, value in _rounded(best(study)[0]).items()]
    return f"python train.py {shlex.join([*settings, *found])}"


def write(path: Path, text: str) -> None:
    """Write a preset, as a whole or not at all; another one that is there stays beside it as `.yaml.old`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.is_file() and path.read_text() != text:
        write_text(old := path.with_suffix(".yaml.old"), path.read_text())
        print(f"the preset that was there is now {old}")
    write_text(path, text)


def _anywhere(argument: str) -> str:
    """An argument of the command as others can use it, who have their images elsewhere."""
    return "dataset.root=FOLDER" if argument.startswith("dataset.root=") else argument


def _listed(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())


def _rounded(trial: FrozenTrial) -> dict[str, Any]:
    """The values of a trial; a float from a range has three digits, since the search cannot tell closer ones apart."""
    kinds = trial.distributions
    return {
        name: float(f"{value:.3g}") if isinstance(kinds[name], FloatDistribution) else value
        for name, value in trial.params.items()
    }
