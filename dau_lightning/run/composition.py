"""Read settings and compose them from the yaml files, with Hydra's public functions alone."""

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

RESOLVERS = "now", "hydra", "python_version"  # those that Hydra registers


@contextmanager
def composing() -> Iterator[None]:
    """Let the functions below read this project's yaml files, and leave Hydra's global state as it was.

    Works inside another Hydra application too, whose state Hydra's own `initialize_config_dir` would refuse.
    """
    state, version, runtime = GlobalHydra.instance(), VersionBase.instance(), JobRuntime.instance()
    before = state.hydra, version.version_base, runtime.get("name")
    new = [resolver for resolver in RESOLVERS if not OmegaConf.has_resolver(resolver)]
    state.clear()
    try:
        with initialize_config_dir(str(CONFIG_FOLDER), version_base=None):
            yield
    finally:
        GlobalHydra.set_instance(state)
        state.hydra, version.version_base, name = before
        runtime.set("name", name)
        for resolver in new:
            OmegaConf.clear_resolver(resolver)


def parsed(settings: Sequence[str]) -> list[Override]:
    """Read settings such as `seed=1`.

    Raises:
        InputError: one of them is no `KEY=VALUE`.
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
    """For each setting the values that a sweep gives it, as settings, in the order of Hydra's sweeper.

    Args:
        params: `hydra.sweeper.params`, where an experiment says what it sweeps over.
        typed: the settings of the command line, which win over `params`.
    """
    found = {}
    for override in [*parsed([f"{key}={value}" for key, value in (params or {}).items()]), *typed]:
        key, several = override.get_key_element(), override.is_sweep_override()
        texts = list(override.sweep_string_iterator() if several else [override.get_value_element_as_str()])
        require(bool(texts), f"{key} must have values to sweep over, got {override.input_line!r}")
        found[key] = [f"{key}={text}" for text in texts]
    return list(found.values())


def options(group: str, hydra: Sequence[str] = ()) -> list[str]:
    """The choices of a group, also in the folders that `hydra.searchpath` adds; empty where a name is no group."""
    return GlobalHydra.instance().config_loader().get_group_options(group, overrides=list(hydra))


def composed(settings: Sequence[str]) -> DictConfig:
    """Compose settings, with Hydra's own below `hydra`.

    Raises:
        InputError: Hydra cannot; one line that says why.
    """
    try:
        return compose("config", overrides=list(settings), return_hydra_config=True)
    except MissingConfigException as error:
        group, _, name = str(error.missing_cfg_file).rpartition("/")
        if name.startswith("submitit"):
            raise InputError(f"{group} needs the extra slurm: pip install 'dau-lightning[slurm]'") from error
        known = options(group, [setting for setting in settings if setting.startswith("hydra.searchpath")])
        raise InputError(f"unknown {group} {name!r}; choose from {', '.join(known)}{did_you_mean(name, known, 1)}") from error
    except Exception as error:  # a yaml file of the user's own can fail in any way
        reason = " ".join((str(error) or str(error.__cause__)).split("full_key:")[0].split())
        raise InputError(f"cannot compose {' '.join(settings) or 'the settings'}: {reason}") from error


def configuration(settings: Sequence[str]) -> tuple[DictConfig, dict[str, str]]:
    """The configuration of a run by settings, without Hydra's own, and the choice in every group."""
    with composing():
        config = composed(settings)
    choices = dict(config.hydra.runtime.choices)
    with open_dict(config):
        del config["hydra"]
    return config, choices
