"""Where metrics go: always a CSV in the run folder, and Weights & Biases unless it is disabled."""

import netrc
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from dau_lightning.metrics_csv import MetricsCSV


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
    if mode != "disabled":
        made.append(_wandb(folder, mode, project, config=settings, name=name, **place))
    status = "failed"
    try:
        yield made
        status = "success"
    finally:
        for logger in made:
            logger.finalize(status)
        if mode != "disabled":
            import wandb

            wandb.finish(exit_code=int(status == "failed"))


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


def _wandb(folder: Path, mode: str, project: str, **about: Any) -> Logger:
    """A started W&B run; offline with one warning where it cannot be reached. A network that hangs costs ten seconds."""
    import wandb
    from lightning.pytorch.loggers import WandbLogger

    def start(offline: bool) -> WandbLogger:
        options = wandb.Settings(init_timeout=10, silent=True, console="off")
        run = wandb.init(project=project, dir=folder, mode="offline" if offline else "online", settings=options, **about)
        return WandbLogger(experiment=run)

    try:
        return start(offline=mode == "offline")
    except (wandb.Error, OSError) as error:
        warnings.warn(
            f"Weights & Biases cannot be reached ({type(error).__name__}); this run is kept offline: "
            f"`wandb sync {folder}/wandb/offline-*` sends it later",
            stacklevel=2,
        )
        return start(offline=True)
