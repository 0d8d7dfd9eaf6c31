"""The run folder: the name that tells configurations apart, and the result that says it is finished."""

import hashlib
import json
import os
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from dau_lightning.error import InputError

NO_PART_OF_THE_RUN = ("hydra", "store", "wandb", "overwrite", "figures", "dynamics")  # paths, loggers and display


def config_hash(config: DictConfig) -> str:
    """8 hex digits of a composed configuration without paths, loggers and display."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    content = {name: node for name, node in plain.items() if name not in NO_PART_OF_THE_RUN}
    for path in ("root", "cache"):
        content["dataset"].pop(path, None)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


OmegaConf.register_new_resolver("config_hash", lambda *, _root_: config_hash(_root_), replace=True)


def read_result(folder: Path) -> dict[str, Any] | None:
    """The content of a finished run's `result.json`; None where the run is not finished."""
    path = folder / "result.json"
    return json.loads(path.read_text()) if path.is_file() else None


def check_same_data(finished: Mapping[str, Any], asked: Mapping[str, Any], folder: Path) -> None:
    """Refuse a finished run of other data: the hash of a configuration leaves out paths, also that of the images.

    Args:
        finished: the settings of the finished run.
        asked: those of the run asked for.
        folder: of the run.

    Raises:
        InputError: the two have different roots.
    """
    roots = [settings["dataset"].get("root") or "." for settings in (finished, asked)]
    if Path(roots[0]).resolve() != Path(roots[1]).resolve():
        raise InputError(
            f"dataset.root must be {roots[0]} to see the finished run in {folder}, got {roots[1]}; "
            "for a run of its own give it a folder of its own with hydra.run.dir=..., or overwrite=true"
        )


def command(overrides: Sequence[str], sweep: bool) -> str:
    """What to type for one job.

    >>> command(["seed=1", "dataset.root=my images"], sweep=False)
    "python train.py seed=1 'dataset.root=my images'"
    """
    return " ".join(["python train.py", *(["-m"] if sweep else []), *map(shlex.quote, overrides)])


def start(folder: Path, config: DictConfig) -> None:
    """Write the composed configuration of a run that starts; what an earlier run left is finished no more."""
    (folder / "result.json").unlink(missing_ok=True)
    OmegaConf.save(config, folder / "config.yaml")


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json` in one step: it says that the run is finished."""
    temporary = folder / ".result.json.tmp"
    with open(temporary, "w") as file:
        file.write(json.dumps(result, indent=2, allow_nan=False) + "\n")
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, folder / "result.json")
