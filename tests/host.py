"""Somebody's Hydra application that unlearns in its job, and prints a line for each thing of the process that changed."""

import logging
import os
import random
import signal
import sys
import threading
import warnings
from collections.abc import Iterable
from functools import partial
from types import FunctionType
from typing import Any

import hydra
import lightning  # noqa: F401
import matplotlib.pyplot as plt
import numpy as np
import sklearn.svm  # noqa: F401
import torch
import torchmetrics  # noqa: F401
import torchvision  # noqa: F401
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.plugins.plugin import Plugin
from omegaconf import DictConfig, OmegaConf
from torch import nn

LIBRARIES = {"hydra", "lightning", "matplotlib", "numpy", "omegaconf", "torch", "torchmetrics", "torchvision"}
SIGNALS = signal.SIGINT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2
register = OmegaConf.register_new_resolver
registered: set[str] = set()


def registering(name: str, *arguments: Any, **options: Any) -> None:
    """OmegaConf can be asked for one resolver, and not which it has."""
    registered.add(name)
    register(name, *arguments, **options)


def owners_of_functions() -> list[Any]:
    """The modules and classes of other packages; a function that is replaced in one is replaced for all code."""
    modules = [module for name, module in sys.modules.items() if name.split(".")[0] in LIBRARIES]
    classes = [value for module in modules for value in vars(module).values() if issubclass(type(value), type)]
    return [*modules, *classes]


def functions(owners: Iterable[Any]) -> dict[str, Any]:
    """Functions and methods by name."""
    kinds = FunctionType, classmethod, staticmethod, property
    return {
        f"{owner.__name__}.{name} of {getattr(owner, '__module__', 'a module')}": value
        for owner in owners
        for name, value in list(vars(owner).items())
        if issubclass(type(value), kinds)
    }


def libraries() -> dict[str, Any]:
    """The settings of the libraries, by name."""
    cudnn = ("enabled", "benchmark", "deterministic", "allow_tf32")
    return {
        "GlobalHydra is initialised": GlobalHydra.instance().is_initialized(),
        "GlobalHydra": GlobalHydra.instance().hydra,
        "HydraConfig": HydraConfig.instance().cfg,
        "plugins of Hydra": Plugins.instance().discover(Plugin),
        "configurations that Hydra stores": set(ConfigStore.instance().repo),
        "resolvers": {name for name in registered if OmegaConf.has_resolver(name)},
        "backend of matplotlib": plt.get_backend(),
        "open figures": plt.get_fignums(),
        "switches of cudnn": {name: getattr(torch.backends.cudnn, name) for name in cudnn},
        "float32 precision": (torch.get_float32_matmul_precision(), torch.backends.cuda.matmul.allow_tf32),
        "deterministic algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads of torch": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "default dtype": torch.get_default_dtype(),
        "gradients": (torch.is_grad_enabled(), torch.is_anomaly_enabled()),
        "sharing of tensors": torch.multiprocessing.get_sharing_strategy(),
        "RNG of torch": hash(tuple(torch.get_rng_state().tolist())),
        "RNG of numpy": hash(str(np.random.get_state())),  # noqa: NPY002
    }


def process(loggers: Iterable[logging.Logger], owners: Iterable[Any]) -> dict[str, Any]:
    """What all code of the process shares, by name."""
    return {
        **{f"os.environ[{name}]": value for name, value in os.environ.items()},
        **{f"rcParams[{name}]": value for name, value in plt.rcParams.items()},
        **{f"logger {one.name}": (one.level, one.disabled, one.propagate, list(one.handlers)) for one in loggers},
        **{one.name: signal.getsignal(one) for one in SIGNALS},
        **functions(owners),
        **libraries(),
        **{f"warnings.filters, {one}": "is there" for one in warnings.filters},
        "RNG of random": hash(random.getstate()),
        "sys.argv": list(sys.argv),
        "sys.path": list(sys.path),
        "output": (sys.stdout, sys.stderr),
        "hooks": (sys.excepthook, sys.unraisablehook, threading.excepthook),
        "folder": os.getcwd(),
        "threads": {thread.name for thread in threading.enumerate()},
    }


def differences(when: str, before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """A line for each thing that changed."""
    changed = [name for name in sorted({*before, *after}) if before.get(name, ...) != after.get(name, ...)]
    return [f"{when} changed {name} from {before.get(name)} to {after.get(name)}" for name in changed]


@hydra.main(config_path=None, config_name="host", version_base=None)
def main(config: DictConfig) -> None:
    """The job, after what the libraries themselves change: torch patches an optimizer's class when it is first made."""
    for optimizer in (torch.optim.Adam, torch.optim.SGD):
        optimizer([torch.zeros(1, requires_grad=True)])
    watched = [logging.getLogger(name) for name in ("", *logging.root.manager.loggerDict)], owners_of_functions()
    before = process(*watched)
    from dau_lightning import unlearn
    from dau_lightning.base.error import TrainingError

    changes = differences("import", before, process(*watched))
    images, labels = (torch.arange(48 * 192) * 7919 % 251).reshape(48, 3, 8, 8).to(torch.uint8), torch.arange(48) % 2
    model = nn.Sequential(nn.Flatten(), nn.Linear(192, 8), nn.ReLU(), nn.Linear(8, 2))
    run = partial(unlearn, model, (images[:24], labels[:24]), (images[24:], labels[24:]), [3, 5], val_from_test=config.share)
    settings = ["baseline.epochs=2", "baseline.min_steps=0", "baseline.pretraining_steps=10", "trainer.accelerator=cpu"]
    before = process(*watched)
    run(mean=[0.0] * 3, std=[1.0] * 3, settings=settings)
    changes += differences("unlearn()", before, process(*watched))
    before = process(*watched)
    try:
        run(
            mean=[0.0] * 3,
            std=[1.0] * 3,
            settings=[*settings, "baseline.lr=1e30", "baseline.attempts.largest_loss=null"],
            folder="diverged",
        )
        changes.append("the second run did not diverge")
    except TrainingError:
        changes += differences("unlearn() that diverges", before, process(*watched))
    print("CHANGES", *changes, sep="\n")


if __name__ == "__main__":
    OmegaConf.register_new_resolver = registering
    ConfigStore.instance().store("host", {"share": 0.5})
    main()
