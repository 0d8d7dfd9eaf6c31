"""The plan of an audit: its tests, made from `conf/audit/`, in the order in which they run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hydra.utils import instantiate
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from dau_lightning.audit.base import AuditTest
from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.base.error import InputError, require
from dau_lightning.base.nearest import did_you_mean
from dau_lightning.run.ranges import require_in_range


@dataclass(frozen=True)
class Planned:
    """A test and the settings from which it was made, as `conf/audit/NAME.yaml` has them."""

    test: AuditTest
    settings: dict[str, Any]


def planned(changes: Sequence[str]) -> dict[str, Planned]:
    """All tests by name, in their order.

    Args:
        changes: settings that differ from the yaml files, such as `relearning.lr=0.1`.

    Raises:
        InputError: there is no such test or setting, or the value is of another type.
    """
    settings: Any = {path.stem: OmegaConf.load(path) for path in sorted((CONFIG_FOLDER / "audit").glob("*.yaml"))}
    for change in changes:
        name, given, value = change.partition("=")
        test, _, key = name.partition(".")
        known = [f"{each}.{setting}" for each, node in settings.items() for setting in node if not setting.startswith("_")]
        require(bool(given) and name in known, f"unknown setting {change!r}{did_you_mean(name, known, 1)}")
        try:
            parsed = OmegaConf.from_dotlist([f"value={value}"]).value
        except OmegaConfBaseException as error:
            raise InputError(f"cannot read {change!r}: write TEST.SETTING=VALUE") from error
        require_in_range(name, settings[test][key], parsed)
        settings[test][key] = parsed
    plain: Any = {name: OmegaConf.to_container(node) for name, node in settings.items()}
    made = {name: _made(node, plain) for name, node in plain.items()}
    return dict(sorted(made.items(), key=lambda item: item[1].test.priority))


def _made(node: dict[str, Any], plain: Mapping[str, dict[str, Any]]) -> Planned:
    """The test of a yaml file. Where it names `attacks`, it gets these tests, and their settings are its own too."""
    if "attacks" not in node:
        return Planned(instantiate(node), node)
    for name in node["attacks"]:
        require(name in plain, f"attacks must be names of tests, got {name!r}{did_you_mean(str(name), list(plain), 1)}")
    attacks = {name: plain[name] for name in node["attacks"]}
    made = instantiate({**node, "attacks": None}, attacks={name: instantiate(each) for name, each in attacks.items()})
    return Planned(made, {**node, "attacks": attacks})
