"""Lightning's Trainer with the arguments of every run, and the global settings that a run changes and restores."""

import logging
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import lightning as L
import torch
from lightning.fabric.plugins.environments.lightning import LightningEnvironment
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.loggers import Logger

from dau_lightning.base.devices import PATIENCE, UnwrappedDDP
from dau_lightning.base.error import InputError

LOUD_LOGGERS = "lightning.pytorch", "lightning.fabric"  # print the same lines at every start
HARMLESS = ".*LeafSpec.* is deprecated|The `srun` command is available"  # on its own code; advice for others


@dataclass(frozen=True)
class TrainerSettings:
    """The settings of the group `trainer`.

    Attributes:
        accelerator: `auto`, `cpu` or `gpu`.
        devices: number of devices that train together.
        precision: `32-true` or `bf16-mixed`.
        benchmark: whether cuDNN measures its convolution algorithms and takes the fastest.
    """

    accelerator: str
    devices: int
    precision: str
    benchmark: bool = False


def make_trainer(
    settings: TrainerSettings, callbacks: Sequence[L.Callback], loggers: Sequence[Logger], devices: int, **more: Any
) -> L.Trainer:
    """A Trainer without Lightning's own progress bar, checkpoints and model summary.

    Inside a Slurm job it uses Lightning's plain environment, since the sweep, not the Trainer, distributes jobs.

    Raises:
        InputError: the machine has no such accelerator.
    """
    plugins = [LightningEnvironment(), *more.pop("plugins", [])]
    try:
        return L.Trainer(
            **{**vars(settings), "devices": devices, "max_epochs": 1, **more},
            strategy=UnwrappedDDP(timeout=PATIENCE) if devices > 1 else "auto",
            plugins=plugins,
            logger=list(loggers),
            callbacks=list(callbacks),
            log_every_n_steps=1,
            enable_progress_bar=False,
            enable_checkpointing=False,
            enable_model_summary=False,
            num_sanity_val_steps=0,
            use_distributed_sampler=False,
        )
    except MisconfigurationException as error:
        raise InputError(f"trainer.accelerator={settings.accelerator} cannot be used here: {error}") from error


@contextmanager
def process_settings() -> Iterator[None]:
    """Silence Lightning and compute convolutions in full float32 within a block; everything is restored after it.

    TF32 keeps 10 bits of the mantissa: too few for evaluation, for small noise, for FF and IU. Training in 32-true is slower
    without TF32; on such a GPU `trainer.precision=bf16-mixed` is faster than both.
    """
    cudnn = torch.backends.cudnn
    levels = {name: logging.getLogger(name).level for name in LOUD_LOGGERS}
    backends = cudnn.allow_tf32, cudnn.benchmark
    cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    try:
        for name in LOUD_LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        cudnn.allow_tf32 = False
        with warnings.catch_warnings(), torch.random.fork_rng(cuda):
            warnings.filterwarnings("ignore", message=HARMLESS)
            yield
    finally:
        cudnn.allow_tf32, cudnn.benchmark = backends
        for name, level in levels.items():
            logging.getLogger(name).setLevel(level)
