"""The report in Weights & Biases, by the rules of every run: online with credentials, else offline."""

import io
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from dau_lightning.report.figure import Picture
from dau_lightning.report.summary import summary


def upload(rows: pd.DataFrame, pictures: Sequence[Picture], folder: Path, project: str) -> None:
    """Log the summary as one table, and Figure 2 as images, in a run of their own.

    Args:
        rows: of the report.
        pictures: Figure 2 for each dataset and network; its PNG is logged.
        folder: gets W&B's files.
        project: of Weights & Biases.
    """
    import wandb
    from PIL import Image

    from dau_lightning.tracking.wandb import loggers

    records = summary(rows)
    with loggers(folder, "auto", project, "report", {"rows": len(records)}):
        images = {each.name: wandb.Image(Image.open(io.BytesIO(each.files[f"{each.name}.png"]))) for each in pictures}
        wandb.log({"report": wandb.Table(dataframe=records), **images})
