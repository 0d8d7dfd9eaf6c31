"""The project's yaml as a command line composes it."""

import copy
from functools import cache
from itertools import zip_longest

from omegaconf import DictConfig, open_dict

from dau_lightning.base.config_folder import CONFIG_FOLDER as CONF
from dau_lightning.run import composition

GROUPS = ["dataset", "network", "recipe", "corruption", "scheme", "sparsity", "baseline", "metric"]
PARTS = [f"baseline/{part}" for part in ("attacker", "penalty", "objective", "regulariser", "projector", "term")]

# What a choice needs beside it, because nothing could be its default.
MANDATORY = {
    "dataset=imagefolder": "dataset.root=somewhere",
    "dataset=cifar10_jpeg": "dataset.root=somewhere",
    "dataset=tiny_imagenet100": "dataset.root=somewhere",
    **dict.fromkeys(
        (f"experiment={name}" for name in ("photographs", "full_cifar10", "full_cifar10_sparse", "full_tiny_imagenet100")),
        "dataset.root=somewhere",
    ),
    "scheme=indices": "scheme.file=somewhere",
    "network=own": "network._target_=dau_lightning.network.resnet18",
    "network=torchvision": "network.name=resnet18",
    "network=timm": "network.name=resnet18",
}


def choices(group: str) -> list[str]:
    """The options of a group."""
    return sorted(path.stem for path in (CONF / group).glob("*.yaml"))


def complete(*overrides: str) -> list[str]:
    """A command line and what its choices need."""
    return [*overrides, *(given for choice, given in MANDATORY.items() if choice in overrides)]


@cache
def _composed(overrides: tuple[str, ...]) -> DictConfig:
    with composition.composing():
        config = composition.composed(complete(*overrides))
    with open_dict(config):
        del config["hydra"]
    return config


def composed(*overrides: str) -> DictConfig:
    """The configuration of a complete command line, for the caller to change."""
    composition.register_by_labels()  # as the command does, for who resolves a value
    return copy.deepcopy(_composed(overrides))  # composing takes 0.1 s, and many tests ask for the same


def every_choice() -> list[list[str]]:
    """Few command lines in which each option of each group stands once: composing one takes 0.1 s."""
    lines: list[list[str]] = []
    for groups in (GROUPS, PARTS):
        for options in zip_longest(*map(choices, groups)):
            lines.append([f"{group}={option}" for group, option in zip(groups, options, strict=True) if option])
    return lines
