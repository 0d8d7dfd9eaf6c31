"""Reads settings and composes the configuration from the yaml files, with Hydra's public functions alone."""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobRuntime
from hydra.errors import HydraException, MissingConfigException
from hydra.version import VersionBase
from omegaconf import DictConfig, OmegaConf, open_dict

from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.base.error import InputError, require
from dau_lightning.base.nearest import did_you_mean

RESOLVERS = "now", "hydra", "python_version", "by_labels"  # the resolvers that Hydra and this file register


@contextmanager
def composing() -> Iterator[None]:
    """Let the functions below read this project's yaml files; Hydra's global state is restored after the block.

    It works inside another Hydra application too, where Hydra's own `initialize_config_dir` would raise an error.
    """
    state, version, runtime = GlobalHydra.instance(), VersionBase.instance(), JobRuntime.instance()
    before = state.hydra, version.version_base, runtime.get("name")
    new = [resolver for resolver in RESOLVERS if not OmegaConf.has_resolver(resolver)]
    state.clear()
    if "by_labels" in new:
        register_by_labels()
    try:
        with initialize_config_dir(str(CONFIG_FOLDER), version_base=None):
            yield
    finally:
        GlobalHydra.set_instance(state)
        state.hydra, version.version_base, name = before
        runtime.set("name", name)
        for resolver in new:
            OmegaConf.clear_resolver(resolver)


def register_by_labels() -> None:
    """Define `${by_labels:RIGHT,WRONG}`: the second value where `scheme.wrong_labels` is true, else the first one."""
    OmegaConf.register_new_resolver("by_labels", _by_labels, replace=True)


def _by_labels(right: Any, wrong: Any, *, _root_: DictConfig) -> Any:
    return wrong if OmegaConf.select(_root_, "scheme.wrong_labels", default=False) else right


def with_arguments(settings: Sequence[str]) -> list[str]:
    """The settings, with a `+` before the arguments of an own network: no yaml file has them, so Hydra must add them.

    >>> with_arguments(["network=own", "network._target_=my.Net", "network.width=32"])
    ['network=own', 'network._target_=my.Net', '+network.width=32']
    """
    own, known = "network=own" in settings, r"network\.(?!features=|_(target|partial)_=)"
    return [f"+{setting}" if own and re.match(known, setting) else setting for setting in settings]


def parsed(settings: Sequence[str]) -> list[Override]:
    """Read settings such as `seed=1`.

    Raises:
        InputError: a setting does not have the form `KEY=VALUE`.
    """
    parser = OverridesParser.create(GlobalHydra.instance().config_loader())
    found = []
    for setting in settings:
        try:
            found += parser.parse_overrides([setting])
        except HydraException as error:
            hint = "write KEY=VALUE, special characters within \"KEY='VALUE'\""
            raise InputError(f"cannot read {setting!r}: {hint}") from error
    return found


def values(params: Mapping[str, Any] | None, typed: Sequence[Override]) -> list[list[str]]:
    """For each setting a list of its values in a sweep, such as `["seed=0", "seed=1"]`, in the order of Hydra's sweeper.

    Args:
        params: `hydra.sweeper.params`, in which an experiment names the settings that it sweeps over.
        typed: the settings of the command line, which take precedence over `params`.
    """
    found = {}
    for override in [*parsed([f"{key}={value}" for key, value in (params or {}).items()]), *typed]:
        key, several = override.get_key_element(), override.is_sweep_override()
        texts = list(override.sweep_string_iterator() if several else [override.get_value_element_as_str()])
        require(bool(texts), f"{key} must have values to sweep over, got {override.input_line!r}")
        found[key] = [f"{key}={text}" for text in texts]
    return list(found.values())


def options(group: str, hydra: Sequence[str] = ()) -> list[str]:
    """The choices of a group, including those in folders that `hydra.searchpath` adds; empty if there is no such group."""
    return GlobalHydra.instance().config_loader().get_group_options(group, overrides=list(hydra))


def composed(settings: Sequence[str]) -> DictConfig:
    """Compose the configuration by settings; Hydra's own configuration is below `hydra`.

    Raises:
        InputError: Hydra cannot compose it; one line says why.
    """
    try:
        return compose("config", overrides=list(settings), return_hydra_config=True)
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        if name.startswith("submitit"):
            raise InputError(f"{group} needs the extra slurm: pip install 'dau-lightning[slurm]'") from error
        known = options(group, [setting for setting in settings if setting.startswith("hydra.searchpath")])
        raise InputError(f"unknown {group} {name!r}; choose from {', '.join(known)}{did_you_mean(name, known, 1)}") from error
    except Exception as error:  # a user's own yaml file can fail in any way
        if missing := re.match(r"Could not override '(\w+)/(\w+)'", str(error)):
            group, part = missing.groups()
            able = [choice for choice in options(group) if _has_part(group, choice, part)]
            chosen = next((setting for setting in settings if setting.startswith(f"{group}=")), f"this {group}")
            require(not able, f"{chosen} takes no {group}/{part}; choose from {', '.join(able)}")
        reason = " ".join((str(error) or str(error.__cause__)).split("full_key:")[0].split())
        raise InputError(f"cannot compose {' '.join(settings) or 'the settings'}: {reason}") from error


def _has_part(group: str, choice: str, part: str) -> bool:
    """Whether a choice, such as the method `dau`, has a group of its own, such as `term`, or takes it over from another one."""
    path = CONFIG_FOLDER / group / f"{choice}.yaml"
    defaults = OmegaConf.select(OmegaConf.load(path), "defaults", default=[]) if path.is_file() else []
    return any(part in each if isinstance(each, DictConfig) else _has_part(group, each, part) for each in defaults)


def configuration(settings: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """The configuration of a run by settings, without Hydra's own part, and the choice in every group."""
    with composing():
        config = composed(settings)
        choices = dict(config.hydra.runtime.choices)
        with open_dict(config):
            del config["hydra"]
        OmegaConf.resolve(config)
    return config, choices
