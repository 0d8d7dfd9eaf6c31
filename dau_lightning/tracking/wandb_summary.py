"""What Weights & Biases shows of a finished run beside its metrics, so that a project page compares methods and seeds."""

import io
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from lightning.pytorch.loggers import Logger

from dau_lightning.base.nested import flatten
from dau_lightning.evaluation.outputs import read_outputs
from dau_lightning.storage.run_folder import user_files
from dau_lightning.storage.run_name import run_name
from dau_lightning.tracking.wandb import send

# Are better when lower: the summary keeps the lowest.
LOWER = "gaps/*", "AUC_gap", "disparity", "score*", "trigger_rate", "seconds", "time_ratio"
BINS = np.linspace(0, 1, 51)


def place(names: Mapping[str, str], settings: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Name, group, job type and tags of a run in its W&B project. Runs that may be compared share a group.

    Args:
        names: the choices `dataset`, `network`, `scheme`, `sparsity`, `baseline`.
        settings: the composed configuration.
        folder: of the run; its name ends in the hash of the settings.
    """
    shared = [*run_name(names, settings, user_files(settings)), names["sparsity"]]
    return {
        "name": f"{names['baseline']}, {', '.join(shared)}, {folder.name}",
        "group": " ".join(shared)[:128],  # W&B refuses longer ones
        "job_type": names["baseline"],
        "tags": [tag[:64] for tag in (*shared, names["baseline"], f"seed {settings['seed']}")],
    }


def flat_numbers(row: Mapping[str, Any]) -> dict[str, float]:
    """All numbers of a row of `result.json` by name; those of `gaps` as `gaps/UA`, of a range as `MIA_draws/range/0` and `1`.

    >>> flat_numbers({"label": "DAU", "UA": 1.5, "gaps": {"UA": 0.5}})
    {'UA': 1.5, 'gaps/UA': 0.5}
    """
    flat = flatten(row, "/")
    lists = {name: dict(enumerate(value)) for name, value in flat.items() if isinstance(value, list)}
    return {name: value for name, value in (flat | flatten(lists, "/")).items() if isinstance(value, int | float)}


def show(loggers: Sequence[Logger], result: Mapping[str, Any], pictures: Mapping[str, bytes], folder: Path) -> None:
    """Send a finished run to W&B: `method/...` in the summary, a table, histograms, figures and artifacts.

    Args:
        loggers: of the run; nothing happens if W&B's is not among them.
        result: the content of `result.json`.
        pictures: figures by file name; PNG files are sent.
        folder: of the run.
    """
    send(loggers, partial(_show, result=result, pictures=pictures, folder=folder))


def images(pictures: Mapping[str, bytes]) -> dict[str, Any]:
    """Of figures by file name the PNG files, as W&B shows them, by name."""
    import wandb
    from PIL import Image

    png = {Path(name).stem: content for name, content in pictures.items() if name.endswith(".png")}
    return {name: wandb.Image(Image.open(io.BytesIO(content))) for name, content in png.items()}


def _show(run: Any, result: Mapping[str, Any], pictures: Mapping[str, bytes], folder: Path) -> None:
    import wandb

    rows = {kind: flat_numbers(row) for kind, row in result["rows"].items()}
    method = {f"method/{name}": value for name, value in rows[result["baseline"]].items()}  # the same keys for all methods
    for name in LOWER:
        run.define_metric(f"method/{name}", summary="min")
    columns = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [[result["rows"][kind]["label"], *(row.get(name) for name in columns)] for kind, row in rows.items()]
    shown = {f"figures/{name}": image for name, image in images(pictures).items()}
    if outputs := read_outputs(folder):
        for model, part in product(outputs.labels, outputs.parts):
            counted = np.histogram(outputs.confidence(model, part), BINS)
            shown[f"confidence/{model}/{part}"] = wandb.Histogram(np_histogram=counted)
    flags = "; ".join(result["rows"][result["baseline"]].get("flags", []))
    table = wandb.Table(columns=["row", *columns], data=list[Any](cells))
    run.log({**method, "method/flags": flags, "rows": table, **shown})
    for kind, file in (("model", "unlearned.safetensors"), ("result", "result.json")):
        artifact = wandb.Artifact(f"{kind}-{run.id}", kind, metadata={"split_hash": result["split_hash"]})
        artifact.add_file(str(folder / file), policy="immutable")  # uploaded from the run folder, without a second copy
        run.log_artifact(artifact)
