"""The report in Weights & Biases, by the rules of every run: online with credentials, else offline."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from dau_lightning.report.record import records
from dau_lightning.report.rows import Group


def upload(groups: Sequence[Group], images: Mapping[str, bytes], folder: Path, project: str) -> None:
    """Log all rows as one table, and the figures as images, to a run of their own.

    Args:
        groups: of rows.
        images: figures by file name; of them the PNG.
        folder: that gets W&B's files.
        project: of Weights & Biases.
    """
    import wandb
    from PIL import Image

    from dau_lightning.tracking.wandb import loggers

    header, rows = cast(tuple[list[str], list[Any]], records(groups))  # wandb types rows as pandas does
    with loggers(folder, "auto", project, "report", {"rows": len(rows)}):
        shown = {name.removesuffix(".png"): image for name, image in images.items() if name.endswith(".png")}
        pictures = {name: wandb.Image(Image.open(io.BytesIO(image))) for name, image in shown.items()}
        wandb.log({"report": wandb.Table(columns=[*header], data=list[Any](rows)), **pictures})
