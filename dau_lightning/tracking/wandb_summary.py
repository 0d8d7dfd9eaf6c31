"""What Weights & Biases shows of a run beside its metrics, so that a project page compares methods, schemes and seeds."""

import io
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger

from dau_lightning.evaluation.outputs import confidence, read_outputs
from dau_lightning.storage.run_folder import given_files
from dau_lightning.storage.run_name import run_name
from dau_lightning.tracking.wandb import WandB

LOWER = ("disparity", "seconds", "time_ratio", "score")  # are better lower, as every gap; UA, MIA, RA and TA have no direction
BINS = np.linspace(0, 1, 51)


def place(names: Mapping[str, str], settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Where a run stands in its project: what may be compared is a group, a method a job type, the rest tags.

    Args:
        names: the choices `dataset`, `network`, `scheme`, `sparsity`, `baseline`.
        settings: the composed configuration.
        folder: of the run, whose name ends in the hash of its settings.
    """
    shared = [*run_name(names, settings, given_files(settings)), names["sparsity"]]
    return {
        "name": f"{names['baseline']}, {', '.join(shared)}, {folder.name}",
        "group": " ".join(shared)[:128],  # W&B takes no longer ones
        "job_type": names["baseline"],
        "tags": [tag[:64] for tag in (*shared, names["baseline"], f"seed {settings['seed']}")],
    }


def numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """All numbers of a row of `result.json` by name; those of `gaps` and `attacks` as `gaps/UA`."""
    flat: dict[str, float] = {}
    for name, value in row.items():
        if isinstance(value, Mapping):
            flat |= {f"{name}/{key}": number for key, number in numbers(value).items()}
        elif isinstance(value, int | float):
            flat[name] = value
    return flat


def show(loggers: Sequence[Logger], result: Mapping[str, Any], pictures: Mapping[str, bytes], folder: Path) -> None:
    """Put a finished run where people look: `method/...` in its summary, a table, histograms, pictures and artifacts.

    Args:
        loggers: of the run; of them Weights & Biases', if it is there.
        result: the content of `result.json`.
        pictures: by file name; of them the PNG.
        folder: of the run.
    """
    for logger in loggers:
        if isinstance(logger, WandB):
            logger.attempt(partial(_show, logger.experiment, result, pictures, folder))


def _show(run: Any, result: Mapping[str, Any], pictures: Mapping[str, bytes], folder: Path) -> None:
    import wandb
    from PIL import Image

    rows = {kind: numbers(row) for kind, row in result["rows"].items()}
    _define(run, [f"method/{name}" for name in rows[result["baseline"]]])
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [[result["rows"][kind]["label"], *(row.get(name) for name in columns)] for kind, row in rows.items()]
    run.log(
        {
            **{f"method/{name}": value for name, value in rows[result["baseline"]].items()},  # one key for all methods
            "rows": wandb.Table(columns=["row", *columns], data=list[Any](cells)),
            **{f"confidence/{name}": wandb.Histogram(np_histogram=found) for name, found in _histograms(folder)},
            **{
                f"figures/{name.removesuffix('.png')}": wandb.Image(Image.open(io.BytesIO(content)))
                for name, content in pictures.items()
                if name.endswith(".png")
            },
        }
    )
    for kind, file in (("model", "unlearned.safetensors"), ("result", "result.json")):
        artifact = wandb.Artifact(f"{kind}-{run.id}", kind, metadata={"split_hash": result["split_hash"]})
        artifact.add_file(str(folder / file), policy="immutable")  # stays in the run folder, no second copy
        run.log_artifact(artifact)


def _define(run: Any, names: Sequence[str]) -> None:
    """Tell which numbers are better lower: the summary then keeps the lowest."""
    for name in names:
        last = name.split("/")[-1]
        if last.startswith(LOWER) or "/gaps/" in name:
            run.define_metric(name, summary="min")


def _histograms(folder: Path) -> Iterator[tuple[str, tuple[Any, Any]]]:
    """Counts and bins of the probability of the label, for every model and part."""
    if (evidence := read_outputs(folder)) is not None:
        for model in evidence.labels:
            for part in evidence.parts:
                values = confidence(evidence.logits(model, part), evidence.targets(part))
                yield f"{model}/{part}", np.histogram(values, BINS)
