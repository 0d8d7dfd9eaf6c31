"""Mistakes that the command line shows by itself, found before torch is imported; `ranges.py` says what a setting may be."""

import argparse
import copy
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from difflib import get_close_matches
from fnmatch import fnmatchcase
from functools import partial
from pathlib import Path
from typing import Any, NoReturn

from hydra import compose, initialize_config_dir
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.utils import get_args_parser
from hydra.core.config_loader import ConfigLoader
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import MissingMandatoryValue, OmegaConfBaseException

from dau_lightning.base.error import InputError
from dau_lightning.run.ranges import RULES, TYPES, listed, most, number

# Hydra copies all its sources, to the last node, at every look at a group, which was half of the time of --help. Nobody changes
# a source, and a copy gets a list of its own before it changes that.
ConfigRepository.__deepcopy__ = lambda self, _: copy.copy(self)  # pyright: ignore[reportAttributeAccessIssue]
OBJECTS = "dataset", "network", "scheme", "baseline"  # groups of which a run needs what they make
LATER = object()  # the value of an interpolation that only a run can resolve, such as ${hydra:job.num}


class _Flags(argparse.ArgumentParser):
    """Hydra's flags, a mistake in them as one line instead of the usage."""

    def error(self, message: str) -> NoReturn:
        raise InputError(f"cannot read the command line: {_one_line(message)} (flags stand before or after all settings)")


def quoted(argument: str) -> str:
    """An argument of the command line, within the quotes that Hydra wants and the shell has taken off.

    They go around a condition, and around a path that holds a ``=``, as the folder of every run does.

    >>> quoted("scheme.where=user_id == 17")
    'scheme.where="user_id == 17"'
    >>> quoted("continue_from=runs/seed=0-6c40e03d")
    'continue_from="runs/seed=0-6c40e03d"'
    """
    name, _, value = argument.partition("=")
    if name == "scheme.where":
        plain = value not in ("", "null") and not re.fullmatch(r"'[^']*'|\"([^\"\\]|\\.)*\"", value)
    else:
        plain = not name.startswith("-") and re.fullmatch(r"[\w./~-][^\"'(){}\[\],]*=[^\"'(){}\[\],]*", value)
    escaped = value.replace('"', '\\"')
    return f'{name}="{escaped}"' if plain else argument


def check(arguments: Sequence[str], config_folder: Path) -> None:
    """Refuse the first mistake that the command line shows by itself.

    A sweep is checked value by value, each choice of a group with the first choices of the others. Flags that only
    inform, such as ``--help``, are left to Hydra.

    Args:
        arguments: The command line without the program's name.
        config_folder: The folder of ``config.yaml`` and its groups.

    Raises:
        InputError: One line that names the setting, what is allowed and what was given.
    """
    if "--version" in arguments:  # argparse would print it and exit
        return
    flags = _Flags(parents=[get_args_parser()], add_help=False).parse_args(arguments)
    _check_flags(flags)
    if flags.help or flags.hydra_help or flags.info or flags.shell_completion:
        return
    if flags.config_dir and not Path(flags.config_dir).is_dir():
        raise InputError(f"--config-dir must be a folder that exists, got {flags.config_dir!r}")
    folder = config_folder.parent / (flags.config_path or config_folder.name)
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(folder.resolve()), version_base=None):
            _check_overrides(flags, GlobalHydra.instance().config_loader())
    except HydraException as error:
        raise InputError(f"cannot use Hydra's settings: {_one_line(error)}") from error


def _check_flags(flags: argparse.Namespace) -> None:
    """Refuse what argparse reads and Hydra would answer with a traceback."""
    if flags.experimental_rerun is not None:
        raise InputError("--experimental-rerun cannot be used: type the command of the run again, with overwrite=true")
    if flags.help or flags.hydra_help:  # Hydra looks no further
        return
    if flags.resolve and not flags.cfg:
        raise InputError("--resolve needs --cfg or --help, as in --cfg job --resolve")
    given = [f"--{name}" for name in ("run", "multirun", "cfg", "info", "shell_completion") if getattr(flags, name)]
    if len(given) > 1:
        raise InputError(f"cannot use {' and '.join(given)} together: give one of them")
    asked = " ".join(flags.overrides)
    shells = "install|uninstall|query" if "COMP_LINE" in os.environ else "install|uninstall"  # the shell itself queries
    if flags.shell_completion and not re.fullmatch(rf"({shells})=(bash|fish|zsh)", asked):
        raise InputError(
            f"--shell-completion must be followed by install=SHELL or uninstall=SHELL (bash, fish, zsh), got {asked!r}"
        )


def _check_overrides(flags: argparse.Namespace, loader: ConfigLoader) -> None:
    overrides = [_parse(argument, loader) for argument in flags.overrides]
    hydra = [str(override.input_line) for override in overrides if override.is_hydra_override()]
    if flags.config_dir:
        hydra.append(f"hydra.searchpath=['{Path(flags.config_dir).resolve()}']")
    composed = partial(_compose, flags.config_name or "config", hydra)
    sweeping = flags.multirun or "hydra.mode=MULTIRUN" in hydra
    overrides += _of_experiment(overrides, loader, partial(_load, flags.config_name or "config", hydra), sweeping)
    groups: list[list[str]] = []
    settings: list[Override] = []
    for override in overrides:
        values = _expand(override, sweeping)
        if override.is_hydra_override():
            continue
        if override.type is not OverrideType.CHANGE:
            near = _nearest(override.key_or_group, composed([])[0])
            raise InputError(f"cannot use {override.input_line!r}: this project refuses to add or remove keys{near}")
        if options := loader.get_group_options(override.key_or_group, overrides=hydra):
            groups.append([_choose(value, options, composed) for value in values])
        else:
            settings += values
    for picked in _combinations(groups):
        config, choices = composed(picked)
        _check_settings(settings, config, choices)
        devices = [config.trainer.devices, *(given.value() for given in settings if given.key_or_group == "trainer.devices")]
        if sweeping and any(count != 1 for count in devices):
            raise InputError(
                "trainer.devices must be 1 in a sweep, whose jobs would want the same devices: run them one by one"
            )


def _one_line(message: object) -> str:
    return " ".join(re.split(r"\n\s*(?:full_key:|Config search path:|See https)", str(message))[0].split())


def _show(value: Any) -> str:
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))


def _parse(argument: str, loader: ConfigLoader) -> Override:
    try:
        (override,) = OverridesParser.create(loader).parse_overrides([argument])
    except HydraException as error:
        reason = re.search(r"while evaluating .*", str(error))
        detail = f" ({reason[0]})" if reason else ""
        raise InputError(
            f"cannot read {argument!r}: write KEY=VALUE, special characters within \"KEY='VALUE'\"{detail}"
        ) from error
    if not override.key_or_group:
        raise InputError(f"cannot read {argument!r}: write KEY=VALUE")
    return override


def _expand(override: Override, sweeping: bool) -> list[Override]:
    """The override once for each value that it sweeps over."""
    if not override.is_sweep_override():
        return [override]
    key, given = override.key_or_group, override.get_value_string()
    if override.is_hydra_override() or not sweeping:
        hint = "" if override.is_hydra_override() else "add -m to run one job for each, or "
        raise InputError(
            f"{key} must be one value, got {given!r}; {hint}write [...] for a list, \"'...'\" for text with commas"
        )
    values = [] if override.is_interval_sweep() else list(override.sweep_iterator())
    if not values:
        raise InputError(f"{key} must be a list of values to sweep over, got {given!r}")
    return [replace(override, _value=value, value_type=ValueType.ELEMENT) for value in values]


def _of_experiment(
    overrides: Sequence[Override], loader: ConfigLoader, load: Callable[[list[str]], DictConfig], sweeping: bool
) -> list[Override]:
    """What the chosen experiment sweeps over and the command line leaves to it."""
    for chosen in overrides:
        if chosen.key_or_group != "experiment":
            continue
        options = loader.get_group_options("experiment")
        if chosen.is_sweep_override() or not isinstance(chosen.value(), str):
            raise InputError(f"experiment must be one of {', '.join(options)}, got {chosen.get_value_string()!r}")
        params = load([_choose(chosen, options, load)]).hydra.sweeper.params or {}
        if params and not sweeping:
            raise InputError(f"{chosen.input_line} is a sweep of many jobs: add -m")
        given = {override.key_or_group for override in overrides}
        return [_parse(f"{key}={value}", loader) for key, value in params.items() if key not in given]
    return []


def _choose(override: Override, options: list[str], composed: Callable[[list[str]], Any]) -> str:
    """The override of a group as one text, once every name in it is known."""
    group, value = override.key_or_group, override.value()
    if value == []:  # Hydra would leave out the node
        raise InputError(f"{group} must be at least one of {', '.join(options)}, got []")
    for name in value if isinstance(value, list) else [value]:
        if name not in options:
            near = get_close_matches(str(name), options, 1)
            hint = f" (did you mean '{near[0]}'?)" if near else ""
            raise InputError(f"unknown {group} {_show(name)}; choose from {', '.join(options)}{hint}")
    if isinstance(value, list) and group in composed([])[1]:
        raise InputError(
            f"{group} must be one of {', '.join(options)}, got {_show(value)}; -m {group}=A,B runs one job for each"
        )
    return f"{override.get_key_element()}={override.get_value_element_as_str()}"


def _combinations(groups: list[list[str]]) -> Iterator[list[str]]:
    """The first choice of every group, then each further choice among the first ones of the others."""
    first = [choices[0] for choices in groups]
    yield first
    for index, choices in enumerate(groups):
        for choice in choices[1:]:
            yield [*first[:index], choice, *first[index + 1 :]]


def _compose(name: str, hydra: list[str], picked: list[str]) -> tuple[DictConfig, dict[str, str]]:
    """The configuration that Hydra makes of the picked groups, and the choice in every group that takes one."""
    config = _load(name, hydra, picked)
    choices = dict(config.hydra.runtime.choices)
    _verify("hydra.launcher", config.hydra.launcher, config.hydra.launcher)
    with open_dict(config):
        del config["hydra"]
    return config, choices


def _load(name: str, hydra: list[str], picked: list[str]) -> DictConfig:
    """What Hydra composes of the picked groups, with its own settings."""
    try:
        return compose(name, overrides=hydra + picked, return_hydra_config=True)
    except Exception as error:  # a yaml of the user's own can fail in any way
        if found := re.match(r"Could not override '((\w+)/\S+)'\. No match", str(error)):
            parent = ", ".join(choice for choice in picked if choice.startswith(f"{found[2]}="))
            raise InputError(f"cannot use {found[1]} with {parent}, which has no such group") from error
        if isinstance(error, MissingConfigException) and "submitit" in str(error.missing_cfg_file):
            raise InputError("hydra/launcher=slurm needs the extra slurm: pip install --editable '.[slurm]'") from error
        raise InputError(
            f"cannot compose the settings: {_one_line(error)} {_one_line(error.__cause__ or '')}".rstrip()
        ) from error


def _check_settings(settings: list[Override], config: DictConfig, choices: dict[str, str]) -> None:
    """Put the settings into a composed configuration one by one, then look at all that it holds."""
    defaults = copy.deepcopy(config)
    for override in settings:
        key, value = override.key_or_group, override.value()
        if re.search(r"\b_partial_ *[=:]", str(override.input_line)):
            raise InputError(f"{key} must be left as it is, got {_show(value)}: _partial_ belongs to the code")
        try:
            OmegaConf.update(config, key, value, merge=True)
        except (KeyError, AttributeError, IndexError, ValueError) as error:  # ValueError: a list has no element "x"
            name = str(getattr(error, "full_key", key))
            name = name if name.startswith(key) else key
            source = _source(name, choices)
            raise InputError(f"unknown setting '{name}'{_nearest(name, defaults)}{source}") from error
        except OmegaConfBaseException as error:
            raise InputError(f"cannot use {override.input_line!r}: {_one_line(error)}") from error
        if (group := key.replace(".", "/")) in choices and isinstance(value, str):
            raise InputError(f"{key} must be a group of settings, got {_show(value)}; to choose another write {group}=NAME")
        _verify(key, _read(defaults, key), _read(config, key))
    _verify("", defaults, config)
    for group in OBJECTS:
        if not OmegaConf.is_dict(config[group]) or not config[group].get("_target_"):
            raise InputError(
                f"{group}={choices.get(group)} must be settings with a _target_, the dotted name of what they make"
            )


def _source(name: str, choices: dict[str, str]) -> str:
    """Words for the innermost choice that a setting comes from."""
    parts = name.split(".")
    groups = ["/".join(parts[:count]) for count in range(len(parts), 0, -1)]
    return next((f" ({group}={choices[group]})" for group in groups if group in choices), "")


def _nearest(name: str, config: DictConfig) -> str:
    """Words that point to the known settings most like a name."""
    known = list(_names(OmegaConf.to_container(config)))
    near = [other for other in known if f".{other}".endswith(f".{name}")] or get_close_matches(name, known, 1)
    return (
        f"; did you mean {' or '.join(map(repr, sorted(near, key=len)[:2]))}?" if near else "; `--cfg job` shows all settings"
    )


def _names(node: Any, prefix: str = "") -> Iterator[str]:
    for name, child in node.items() if isinstance(node, dict) else ():
        if not str(name).startswith("_"):
            yield f"{prefix}{name}"
            yield from _names(child, f"{prefix}{name}.")


def _read(node: DictConfig, key: Any) -> Any:
    try:
        value = OmegaConf.select(node, str(key), throw_on_missing=True)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_list(value) else value
    except MissingMandatoryValue:
        return "???"
    except OmegaConfBaseException as error:
        if "HydraConfig was not set" in str(error):
            return LATER
        raise InputError(f"cannot use the value of {error.full_key or key}: {_one_line(error)}") from error


def _verify(name: str, default: Any, value: Any) -> None:
    """Raise unless a value, or all that a node holds, is what the table or else its default asks for."""
    if name == "baseline.search":  # ranges of settings, not settings
        return
    if isinstance(default, DictConfig) and isinstance(value, DictConfig):
        for key in default:
            _verify(f"{name}.{key}".lstrip("."), _read(default, key), _read(value, key))
        return
    if isinstance(default, DictConfig):
        raise InputError(f"{name} must be a group of settings ({', '.join(map(str, default))}), got {_show(value)}")
    if value == "???":
        raise InputError(f"{name} must be given: write {name}=VALUE")
    rule = next((rule for pattern, rule in RULES.items() if fnmatchcase(f".{name}", f"*.{pattern}")), None)
    if rule is None and isinstance(default, list) and listed(number()).accepts(default):
        rule = listed(number())
    elif rule is None and default != "???":
        rule = TYPES.get(type(default))
    if rule is not None and value is not LATER and not rule.accepts(value):
        raise InputError(f"{name} must be {rule.what}, got {_show(value)}")
    if any(type(part) is int and abs(part) > most(name) for part in (value if isinstance(value, list) else [value])):
        raise InputError(f"{name} must be at most {most(name)}, got {_show(value)}")
