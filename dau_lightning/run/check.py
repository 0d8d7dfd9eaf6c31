"""Checks the settings of a command line before torch is imported; `ranges.py` has the range of each setting."""

from collections.abc import Sequence
from functools import cache
from typing import Any, cast

from hydra.core.override_parser.types import Override, OverrideType
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dau_lightning.base.error import InputError, require
from dau_lightning.base.nearest import did_you_mean
from dau_lightning.base.nested import flatten
from dau_lightning.run.composition import composed, composing, options, parsed, values
from dau_lightning.run.ranges import require_in_range

OBJECTS = "dataset", "network", "scheme", "baseline"  # groups whose yaml files need a `_target_`


def check(settings: Sequence[str], sweep: bool = False) -> None:
    """Raise an error for the first wrong setting of a command line.

    Args:
        settings: the settings as the user types them, such as `seed=1`.
        sweep: whether `-m` was given. Not every job of a sweep is checked, but every value: the n-th check takes the n-th
            value of each setting, or its last value if it has fewer.

    Raises:
        InputError: one line that names the setting, what is allowed and what was given.
    """
    with composing():
        overrides = parsed(settings)
        hydra = [str(override.input_line) for override in overrides if override.is_hydra_override()]
        typed = [override for override in overrides if not override.is_hydra_override()]
        sweep = sweep or "hydra.mode=MULTIRUN" in hydra
        for override in typed:
            _check_form(override, sweep, "network=own" in settings)
        compose = cache(lambda *choices: composed([*hydra, *choices]))
        experiment = [str(override.input_line) for override in typed if override.key_or_group == "experiment"]
        params = compose(*experiment).hydra.sweeper.params if experiment else {}
        require(sweep or not params, f"{' '.join(experiment)} is a sweep of many jobs: add -m")
        rows = values(params, typed)
        for index in range(max(map(len, rows), default=1)):
            job = parsed([row[min(index, len(row) - 1)] for row in rows])
            choices = [override for override in job if options(override.key_or_group, hydra)]
            config = compose(*(str(override.input_line) for override in choices))
            _check_job([override for override in job if override not in choices], config, sweep)


def _check_form(override: Override, sweep: bool, own: bool) -> None:
    """Raise an error for a new key that is no argument of an own network, and for several values without `-m`."""
    line, key = override.input_line, override.key_or_group
    argument = own and key.startswith("network.") and override.type is OverrideType.ADD
    changes = argument or override.type is OverrideType.CHANGE
    require(changes, f"cannot use {line!r}: no setting can be added or removed, only changed")
    hint = "add -m to run one job for each, or write [...] for a list, \"'...'\" for text with commas"
    several = override.is_sweep_override() and not sweep
    require(not several, f"{key} must be one value, got {line!r}; {hint}")


def _check_job(settings: Sequence[Override], composition: DictConfig, sweep: bool) -> None:
    """Apply the settings of one job to the configuration composed from its choices, and check every value in the result."""
    plain: Any = OmegaConf.to_container(composition)
    hydra = plain.pop("hydra")
    for name, value in hydra["launcher"].items():
        require_in_range(f"hydra.launcher.{name}", value, value)
    config: Any = OmegaConf.create(plain, flags={"struct": True})  # a struct refuses new keys
    try:
        defaults = _by_name(config)
        for override in settings:
            _update(config, override, defaults, hydra["runtime"]["choices"])
        found = _by_name(config)
    except OmegaConfBaseException as error:
        if "HydraConfig was not set" in str(error):  # only a run can resolve ${hydra:job.num} and its like
            return
        raise InputError(f"cannot use {error.full_key or 'the settings'}: {str(error).splitlines()[0]}") from error
    typed = tuple(override.key_or_group for override in settings)
    added = tuple(override.key_or_group for override in settings if override.type is OverrideType.ADD)
    for name in sorted(found, key=lambda name: not name.startswith(typed)):  # typed settings first: others may depend on them
        if name.startswith(added):  # what it may be is up to the user's class
            continue
        if name not in defaults:
            raise InputError(_unknown(name, defaults, hydra["runtime"]["choices"]))
        require(found[name] != "???", f"{name} must be given: write {name}=VALUE")
        require_in_range(name, defaults[name], found[name])
    for group in OBJECTS:
        require(f"{group}._target_" in found, f"{group} must have a _target_, the dotted name of a class or function")
    require("metric" in config, "metric must be at least one attack, got []")
    require(not sweep or found["trainer.devices"] == 1, "trainer.devices must be 1 in a sweep, whose jobs would share them")


def _by_name(config: DictConfig) -> dict[str, Any]:
    """The full name and the value of every setting."""
    return flatten(cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)), ".")


def _update(config: DictConfig, override: Override, defaults: dict[str, Any], choices: dict[str, str]) -> None:
    key = override.key_or_group
    try:
        OmegaConf.update(config, key, override.value(), merge=True, force_add=override.type is OverrideType.ADD)
    except (KeyError, AttributeError, IndexError, ValueError) as error:  # ValueError: a list has no element "x"
        name = str(getattr(error, "full_key", key))
        raise InputError(_unknown(name if name.startswith(key) else key, defaults, choices)) from error


def _unknown(name: str, defaults: dict[str, Any], choices: dict[str, str]) -> str:
    """The message for an unknown setting, with the most similar known name or, if a group has none, all names of the group."""
    slashed = name.replace(".", "/")
    certain = [slashed] if options(slashed) else [other for other in defaults if other.endswith(f".{name}")]
    group, dot, last = name.rpartition(".")
    beside = [other.removeprefix(group + dot) for other in defaults if dot and other.startswith(group + dot)]
    if certain:
        near = f"; did you mean {certain[0]!r}?"
    elif beside:  # names without the group, which would make all of them similar
        all_names = ", ".join(other for other in beside if not other.startswith("_"))
        near = did_you_mean(last, beside, 1, group + dot) or f"; choose from {all_names}"
    else:
        near = did_you_mean(name, [*defaults, *choices], 1) or "; `--cfg job` shows all settings"
    group = group.replace(".", "/")
    source = f" ({group}={choices[group]})" if group in choices else ""
    return f"unknown setting {name!r}{near}{source}"
