"""The run folder: the name that tells configurations apart, and the result that says it is finished."""

import hashlib
import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from yaml import YAMLError

from dau_lightning.base.error import InputError, require
from dau_lightning.storage.atomic import atomic_write, locked, set_aside

NO_PART_OF_THE_RUN = (  # paths, loggers and display
    "hydra",
    "store",
    "checkpoint",
    "wandb",
    "overwrite",
    "figures",
    "dynamics",
)
LEFT = (  # by a run; the first says that the others are whole, and goes first
    "result.json",
    "report.html",
    "metrics.csv",
    "evaluated.json",
    "unlearned.checkpoint",
    "unlearned.safetensors",
)
FAILED = "failed.txt"  # why a training could not go on
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


def register_resolver() -> None:
    """Let a yaml file write `${config_hash:}`; only a command does this, it changes OmegaConf for the whole process."""
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
        return opened(content)
    except FileNotFoundError:
        return None
    except ValueError as error:
        set_aside(path, error)
        return None


def opened(content: dict[str, Any]) -> dict[str, Any]:
    """The content of a JSON file without its seal.

    Raises:
        ValueError: its bytes changed since it was sealed.
    """
    bare = {name: value for name, value in content.items() if name != "sha256"}
    if content.get("sha256", _seal(bare)) != _seal(bare):
        raise ValueError("its bytes changed")
    return bare


def _sealed(content: Mapping[str, Any]) -> dict[str, Any]:
    return {**content, "sha256": _seal(content)}


def _seal(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def finished(folder: Path, config: DictConfig) -> dict[str, Any] | None:
    """The content of `result.json`, if what is asked for is finished.

    The name of a folder tells configurations apart, but not paths, and it may have been given by hand. Of the images only
    the path of their folder is compared: the result is of the images as they were.

    Raises:
        InputError: a run of other settings, lists or folder of images is finished there, or its weights are not whole.
    """
    if config.overwrite or (result := read_result(folder)) is None:
        return None
    asked: Any = OmegaConf.to_container(config, resolve=True)
    way = "for a run of its own give it a folder of its own with hydra.run.dir=..., or overwrite=true"
    roots = [settings["dataset"].get("root") or "." for settings in (result["settings"], asked)]
    if Path(roots[0]).resolve() != Path(roots[1]).resolve():
        raise InputError(f"dataset.root must be {roots[0]} to see the finished run in {folder}, got {roots[1]}; {way}")
    same = result.get("files", {}) == given_files(asked) and _hash_in(folder) in (None, config_hash(config))
    require(same, f"{folder} holds a finished run of other settings or another list; {way}")
    try:
        with safe_open(folder / "unlearned.safetensors", "numpy"):  # compares header and size, reads and imports nothing more
            return result
    except (OSError, SafetensorError) as error:
        raise InputError(
            f"{folder} holds a finished run without whole weights; overwrite=true makes unlearned.safetensors again ({error})"
        ) from error


def command(overrides: Sequence[str], sweep: bool) -> str:
    """What to type for one job.

    >>> command(["seed=1", "dataset.root=my images"], sweep=False)
    "python train.py seed=1 'dataset.root=my images'"
    """
    return " ".join(["python train.py", *(["-m"] if sweep else []), *map(shlex.quote, overrides)])


class FinishedMeanwhile(InputError):
    """Another process has finished the run that this one was about to start."""


def start(folder: Path, config: DictConfig, held: ExitStack, split_hash: str) -> None:
    """Write the composed configuration of a run that starts, below a line that names its data and split.

    It goes on with what a run of the same configuration and split left unfinished; what any other one left is removed.

    Args:
        folder: of the run.
        config: composed.
        held: holds the folder for this process, until it is closed.
        split_hash: of the data and what is forgotten.

    Raises:
        FinishedMeanwhile: by another process, for which this one waited.
    """
    held.enter_context(locked(folder / "run.lock", f"which works in {folder}"))
    if finished(folder, config):
        raise FinishedMeanwhile(f"another process has just finished the run in {folder}: the same command shows it")
    first, same = f"# split_hash {split_hash}\n", False
    with suppress(OSError, UnicodeDecodeError):
        same = (folder / "config.yaml").read_text().startswith(first) and _hash_in(folder) == config_hash(config)
    if (folder / "result.json").exists() or not same:
        for name in LEFT:
            (folder / name).unlink(missing_ok=True)
    (folder / FAILED).unlink(missing_ok=True)
    with atomic_write(folder / "config.yaml") as temporary:
        temporary.write_text(first + OmegaConf.to_yaml(config))


def _hash_in(folder: Path) -> str | None:
    """The hash of the configuration of which a run started in a folder; None where none can be read."""
    try:
        return config_hash(OmegaConf.load(folder / "config.yaml"))  # type: ignore[arg-type]
    except (OSError, ValueError, YAMLError):
        return None


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
        with atomic_write(path) as temporary:
            temporary.write_text(json.dumps(_sealed(known)))
    return known[key]


def write_result(folder: Path, result: Mapping[str, Any]) -> None:
    """Write `result.json` in one step: it says that the run is finished."""
    with atomic_write(folder / "result.json") as temporary:
        temporary.write_text(json.dumps(_sealed(result), indent=2, allow_nan=False) + "\n")
    (folder / "evaluated.json").unlink(missing_ok=True)
