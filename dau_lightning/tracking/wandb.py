"""The loggers of a run: always a CSV in the run folder, and Weights & Biases unless it is disabled."""

import netrc
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger, WandbLogger

from dau_lightning.tracking.metrics_csv import MetricsCSV

PATIENCE = 10  # seconds to wait for the network when a run starts
LAST_PATIENCE = 60  # seconds to send, at the end, what was not sent before


@contextmanager
def loggers(folder: Path, mode: str, project: str, name: str, settings: dict[str, Any], **place: Any) -> Iterator[list[Logger]]:
    """Open the loggers of a run, and close them at its end, so that the next run in this process starts its own.

    Args:
        folder: of the run.
        mode: `auto` (online if there are credentials, else offline), `online`, `offline` or `disabled`.
        project: of Weights & Biases.
        name: of the run there.
        settings: the composed configuration, shown there.
        place: `group`, `job_type` and `tags` of the run there.
    """
    made: list[Logger] = [MetricsCSV(folder / "metrics.csv")]
    if mode != "disabled" and (
        started := _start(folder, _resolved(mode), project=project, name=name, config=settings, **place)
    ):
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
    """A run of Weights & Biases. After the first failure of W&B it does nothing more, with one warning: the run goes on.

    Args:
        run: started by wandb.
        folder: of the run.
    """

    def __init__(self, run: Any, folder: Path) -> None:
        super().__init__(experiment=run)
        self.folder, self.lost = folder, False

    def attempt(self, action: Callable[[], object]) -> None:
        """Call something that uses W&B, unless W&B failed before."""
        if self.lost:
            return
        try:
            action()
        except Exception as error:  # wandb and its service fail in many ways, and none of them may end a run
            self.lost = True
            with suppress(Exception):  # without it wandb ends the program with a traceback
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
        """End the run. Not in `finalize`, which Lightning calls after every training."""
        self.attempt(partial(self.experiment.finish, exit_code=int(status == "failed")))


def send(loggers: Iterable[Logger], action: Callable[[Any], object]) -> None:
    """Call what sends something with the run of W&B, if there is one among the loggers; see `WandB.attempt`."""
    for logger in loggers:
        if isinstance(logger, WandB):
            logger.attempt(partial(action, logger.experiment))


def _resolved(mode: str) -> str:
    """`online` or `offline`: online needs credentials."""
    if mode != "offline" and has_credentials():
        return "online"
    if mode == "online":
        warnings.warn("wandb.mode=online needs credentials (`wandb login`); this run is kept offline", stacklevel=4)
    return "offline"


def _start(folder: Path, mode: str, **about: Any) -> WandB | None:
    """Start a W&B run: offline with one warning if the network does not answer in `PATIENCE`, None if that fails, too."""
    import wandb

    options = wandb.Settings(
        init_timeout=PATIENCE, finish_timeout=LAST_PATIENCE, finish_timeout_raises=True, silent=True, console="off"
    )
    reason = ""
    for attempted in dict.fromkeys([mode, "offline"]):
        try:
            run = wandb.init(dir=folder, mode=attempted, settings=options, **about)  # type: ignore[arg-type]
        except Exception as error:  # wandb fails in many ways
            reason = type(error).__name__
            continue
        if attempted != mode:
            warnings.warn(
                f"Weights & Biases cannot be reached ({reason}); this run is kept offline: "
                f"`wandb sync {folder}/wandb/offline-*` sends it later",
                stacklevel=2,
            )
        return WandB(run, folder)
    warnings.warn(
        f"Weights & Biases cannot be started ({reason}: is {folder}/wandb a folder that can be written?); the run goes on, "
        "metrics.csv has every row",
        stacklevel=2,
    )
    return None
