"""Where metrics go: always a CSV in the run folder, and Weights & Biases unless it is disabled."""

import netrc
import os
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from dau_lightning.tracking.metrics_csv import MetricsCSV

PATIENCE = 10  # seconds that a network may take to answer
LAST_PATIENCE = 60  # seconds that it may take at the end for what was not sent until then


@contextmanager
def loggers(folder: Path, mode: str, project: str, name: str, settings: dict[str, Any], **place: Any) -> Iterator[list[Logger]]:
    """The loggers of a run, closed at its end, whatever the end; the next run in this process starts its own.

    Args:
        folder: of the run.
        mode: `auto` (online when credentials exist, else offline), `online`, `offline` or `disabled`.
        project: of Weights & Biases.
        name: of the run there.
        settings: the composed configuration, shown there.
        place: `group`, `job_type` and `tags` of the run there.
    """
    made: list[Logger] = [MetricsCSV(folder / "metrics.csv")]
    if mode in ("auto", "online") and not has_credentials():
        if mode == "online":
            warnings.warn("wandb.mode=online needs credentials (`wandb login`); this run is kept offline", stacklevel=3)
        mode = "offline"
    if mode != "disabled" and (started := _wandb(folder, mode, project, config=settings, name=name, **place)):
        made.append(started)
    status = "failed"
    try:
        yield made
        status = "success"
    finally:
        for logger in made:
            logger.finalize(status)
            if isinstance(logger, WandB):
                logger.finish(status)


def has_credentials() -> bool:
    """Whether Weights & Biases would find an API key, in the environment or in the netrc file."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    path = Path(os.environ.get("NETRC", Path.home() / ".netrc"))
    host = os.environ.get("WANDB_BASE_URL", "https://api.wandb.ai").removeprefix("https://").removeprefix("http://").rstrip("/")
    try:
        return netrc.netrc(path).authenticators(host) is not None
    except (OSError, ValueError, netrc.NetrcParseError):  # ValueError: not text
        return False


class WandB(WandbLogger):
    """A run of Weights & Biases that harms nobody: once it takes no more, it is left alone, after one warning.

    Args:
        run: of wandb, started.
        folder: of the run.
    """

    def __init__(self, run: Any, folder: Path) -> None:
        super().__init__(experiment=run)
        self.folder, self.lost = folder, False

    def attempt(self, action: Callable[[], object]) -> None:
        """Do something with it, unless it was lost before."""
        if self.lost:
            return
        try:
            action()
        except Exception as error:  # wandb and its service fail in many ways, and none of them matters to a run
            self.lost = True
            with suppress(Exception):  # else it would end the program with a traceback
                import wandb

                wandb.teardown()
            warnings.warn(
                f"Weights & Biases stopped ({type(error).__name__}); the run goes on, metrics.csv has every row, and "
                f"`wandb sync {self.folder}/wandb/*run-*` sends what was kept until here",
                stacklevel=2,
            )

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Send values."""
        self.attempt(partial(super().log_metrics, metrics, step))

    def finish(self, status: str) -> None:
        """End the run; `finalize`, which Lightning calls after every training, does not."""
        self.attempt(partial(self.experiment.finish, exit_code=int(status == "failed")))


def _wandb(folder: Path, mode: str, project: str, **about: Any) -> WandB | None:
    """A started W&B run; offline with one warning where it cannot be reached. A network that hangs costs ten seconds."""
    import wandb

    def start(mode: str) -> WandB:
        options = wandb.Settings(
            init_timeout=PATIENCE, finish_timeout=LAST_PATIENCE, finish_timeout_raises=True, silent=True, console="off"
        )
        return WandB(wandb.init(project=project, dir=folder, mode=mode, settings=options, **about), folder)  # type: ignore[arg-type]

    wanted, reason = "offline" if mode == "offline" else "online", ""
    for way in dict.fromkeys([wanted, "offline"]):
        try:
            run = start(way)
        except Exception as error:  # wandb fails in many ways
            reason = type(error).__name__
            continue
        if way != wanted:
            warnings.warn(
                f"Weights & Biases cannot be reached ({reason}); this run is kept offline: "
                f"`wandb sync {folder}/wandb/offline-*` sends it later",
                stacklevel=2,
            )
        return run
    warnings.warn(
        f"Weights & Biases cannot be started ({reason}: is {folder}/wandb a folder that can be written?); the run goes on, "
        "metrics.csv has every row",
        stacklevel=2,
    )
    return None
