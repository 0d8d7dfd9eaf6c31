"""The run folder: the name that tells configurations apart, and the result that says it is finished."""

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from yaml import YAMLError

from dau_lightning.error import InputError
from dau_lightning.whole import set_aside, whole

NO_PART_OF_THE_RUN = (  # paths, loggers and display
    "hydra",
    "store",
    "checkpoint",
    "wandb",
    "overwrite",
    "figures",
    "dynamics",
)
FILES = {"scheme": "file", "original": "checkpoint"}  # settings that name a file of the user's own


def content_of(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings without paths, loggers and display; of a file that they name, the content."""
    content = {
        name: dict(node) if isinstance(node, Mapping) else node
        for name, node in settings.items()
        if name not in NO_PART_OF_THE_RUN
    }
    for path in ("root", "cache"):
        content.get("dataset", {}).pop(path, None)
    for setting, file in given_files(content).items():
        *node, name = setting.split(".")
        (content[node[0]] if node else content)[name] = file["sha256"]
    return content


def config_hash(config: DictConfig) -> str:
    """8 hex digits of a composed configuration without paths, loggers and display; of a file that it names, the content."""
    plain: Any = OmegaConf.to_container(config, resolve=False)
    content = content_of(plain)
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:8]


OmegaConf.register_new_resolver("config_hash", lambda *, _root_: config_hash(_root_), replace=True)


def given_files(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of every file of the user's own that the settings name and that exists, by setting."""
    found = {f"{node}.{name}": settings.get(node, {}).get(name) for node, name in FILES.items()}
    paths = {setting: Path(file).expanduser() for setting, file in found.items() if isinstance(file, str)}
    if isinstance(former := settings.get("continue_from"), str):
        paths["continue_from"] = Path(former).expanduser() / "ledger.jsonl"
    return {setting: {"name": path.name, "sha256": _sha256(path)} for setting, path in paths.items() if path.is_file()}


def _sha256(path: Path) -> str:
    status = path.stat()
    return _sha256_of(path, status.st_size, status.st_mtime_ns)


@lru_cache
def _sha256_of(path: Path, size: int, modified: int) -> str:
    """Once for each state of a file: Hydra asks for the hash of a configuration several times."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_result(folder: Path) -> dict[str, Any] | None:
    """The content of a finished run's `result.json`; None where the run is not finished."""
    return _read(folder / "result.json", ("settings", "rows"))


def _read(path: Path, needed: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """A JSON file with the keys needed; None where there is none, and one that cannot be used is set aside."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict) or not content.keys() >= set(needed):
            raise ValueError("it holds something else")
        if "sha256" in content and content.pop("sha256") != _seal(content):
            raise ValueError("its bytes changed")
    except FileNotFoundError:
        return None
    except ValueError as error:
        set_aside(path, error)
        return None
    return content


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


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
    """Write the composed configuration of a run that starts.

    It goes on with what a run of the same configuration left unfinished; what a finished or another one left is removed.
    """
    if (folder / "result.json").exists() or not _unfinished(folder, config):
        for name in ("metrics.csv", "evaluated.json", "unlearned.checkpoint", "unlearned.safetensors", "result.json"):
            (folder / name).unlink(missing_ok=True)
    with whole(folder / "config.yaml") as temporary:
        OmegaConf.save(config, temporary)


def _unfinished(folder: Path, config: DictConfig) -> bool:
    """Whether a run of the same configuration started in a folder."""
    try:
        return config_hash(OmegaConf.load(folder / "config.yaml")) == config_hash(config)  # type: ignore[arg-type]
    except (OSError, ValueError, YAMLError):  # there is none, or none that could be read
        return False


def evaluated(folder: Path, key: str, evaluate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What an evaluation found: now, or before this run was killed, which `evaluated.json` knows until it is finished.

    Args:
        folder: of the run.
        key: of all that the evaluation depends on besides the settings.
        evaluate: gives the numbers.
    """
    path = folder / "evaluated.json"
    known = _read(path) or {}
    if key not in known:
        known[key] = evaluate()
        with whole(path) as temporary:
            temporary.write_text(json.dumps(known))
    return known[key]


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json` in one step: it says that the run is finished."""
    sealed = {**result, "sha256": _seal(result)}
    with whole(folder / "result.json") as temporary:
        temporary.write_text(json.dumps(sealed, indent=2, allow_nan=False) + "\n")
    (folder / "evaluated.json").unlink(missing_ok=True)
