"""The run folder: one folder holds one configuration; `result.json` says that its run is finished."""

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from yaml import YAMLError

from dau_lightning.base.error import InputError, require
from dau_lightning.storage.atomic import locked, set_aside, write_text
from dau_lightning.storage.seal import file_sha256, json_sha256, seal, unseal

NOT_IN_HASH = "hydra", "store", "checkpoint", "wandb", "overwrite", "figures", "dynamics"  # paths, loggers, display
# In the order of removal: result.json says that the others are complete.
LEFT_BY_A_RUN = "result.json", "report.html", "metrics.csv", "evaluated.json", "unlearned.checkpoint", "unlearned.safetensors"
FAILED = "failed.txt"  # why a training could not go on
FILE_SETTINGS = {"scheme": "file", "original": "checkpoint"}  # settings that name a file of the user
OWN_FOLDER = "to keep both, give this run a folder with hydra.run.dir=...; to replace it, add overwrite=true"


class FinishedMeanwhile(InputError):
    """Another process has finished the run that this one was about to start."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, and what identifies the run.

    Attributes:
        path: of the folder.
        config: the composed configuration, as yaml.
        config_hash: SHA-256 of the configuration without paths, loggers and display.
        files: name and SHA-256 of each file of the user that the settings name, by setting.
        data_root: the folder of the images.
        overwrite: run again although a finished run stands there.
    """

    path: Path
    config: str
    config_hash: str
    files: Mapping[str, Mapping[str, str]]
    data_root: str
    overwrite: bool

    @classmethod
    def of(cls, path: Path, config: DictConfig) -> "RunFolder":
        """The folder of a run with a composed configuration."""
        plain: Any = OmegaConf.to_container(config, resolve=True)
        root = plain["dataset"].get("root") or "."
        return cls(path, OmegaConf.to_yaml(config), config_hash(config), user_files(plain), root, plain["overwrite"])

    def finished(self) -> dict[str, Any] | None:
        """The content of `result.json`, if this run is finished.

        The name of a folder tells configurations apart, but not paths, and a user may have chosen it. The images themselves
        are not read: the result is of the images as they were.

        Raises:
            InputError: another run is finished there, with other settings, lists or images, or its weights are damaged.
        """
        if self.overwrite or (result := read_result(self.path)) is None:
            return None
        root = result["settings"]["dataset"].get("root") or "."
        if Path(root).resolve() != Path(self.data_root).resolve():
            raise InputError(
                f"{self.path} holds a finished run of the images in dataset.root={root}, got {self.data_root}; {OWN_FOLDER}"
            )
        same = result.get("files", {}) == self.files and _hash_in(self.path) in (None, self.config_hash)
        require(same, f"{self.path} holds a finished run of other settings or another list; {OWN_FOLDER}")
        try:
            with safe_open(self.path / "unlearned.safetensors", "numpy"):  # compares header and size, and imports no torch
                return result
        except (OSError, SafetensorError) as error:
            raise InputError(
                f"{self.path} holds a finished run whose weights are missing or damaged ({error}); add overwrite=true to make "
                "unlearned.safetensors again"
            ) from error

    def start(self, until_closed: ExitStack, split_hash: str) -> None:
        """Write the configuration of a run that starts, below a line that names its split.

        The run goes on with what a run of the same configuration and split left unfinished; what another run left is removed.

        Args:
            until_closed: keeps other processes out of the folder until it is closed.
            split_hash: of the data and the forget set.

        Raises:
            FinishedMeanwhile: another process, for which this one waited, has finished the run.
        """
        until_closed.enter_context(locked(self.path / "run.lock", f"which works in {self.path}"))
        if self.finished():
            raise FinishedMeanwhile(f"another process has just finished the run in {self.path}: the same command shows it")
        first, same = f"# split_hash {split_hash}\n", False
        with suppress(OSError, UnicodeDecodeError):
            same = (self.path / "config.yaml").read_text().startswith(first) and _hash_in(self.path) == self.config_hash
        if (self.path / "result.json").exists() or not same:
            for name in LEFT_BY_A_RUN:
                (self.path / name).unlink(missing_ok=True)
        (self.path / FAILED).unlink(missing_ok=True)
        write_text(self.path / "config.yaml", first + self.config)

    def evaluated(self, key: str, evaluate: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The numbers of an evaluation; those of an evaluation before the run was killed are taken from `evaluated.json`.

        Args:
            key: identifies what is evaluated.
            evaluate: gives the numbers.
        """
        path = self.path / "evaluated.json"
        known = _read(path) or {}
        if key not in known:
            known[key] = evaluate()
            write_text(path, json.dumps(seal(known)))
        return known[key]

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write `result.json` in one step: it says that the run is finished."""
        write_text(self.path / "result.json", json.dumps(seal(result), indent=2, allow_nan=False) + "\n")
        (self.path / "evaluated.json").unlink(missing_ok=True)


def config_hash(config: DictConfig) -> str:
    """SHA-256 of a composed configuration without paths, loggers and display; a file that it names counts by its content."""
    content: Any = OmegaConf.to_container(config, resolve=False)
    content = {name: node for name, node in content.items() if name not in NOT_IN_HASH}
    for name in ("root", "cache"):
        content.get("dataset", {}).pop(name, None)
    for setting, file in user_files(content).items():
        *node, name = setting.split(".")
        (content[node[0]] if node else content)[name] = file["sha256"]
    return json_sha256(content)


def register_resolver() -> None:
    """Let a yaml file ask for the hash of its own configuration, as `${config_hash:}`; only a command does this."""
    OmegaConf.register_new_resolver("config_hash", lambda *, _root_: config_hash(_root_)[:8], replace=True)


def user_files(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Name and SHA-256 of every file of the user that the settings name and that exists, by setting."""
    found = {f"{node}.{name}": settings.get(node, {}).get(name) for node, name in FILE_SETTINGS.items()}
    paths = {setting: Path(file).expanduser() for setting, file in found.items() if isinstance(file, str)}
    if isinstance(previous := settings.get("continue_from"), str):
        paths["continue_from"] = Path(previous).expanduser() / "ledger.jsonl"
    return {
        setting: {"name": path.name, "sha256": _sha256(path, path.stat().st_mtime_ns)}
        for setting, path in paths.items()
        if path.is_file()
    }


@lru_cache
def _sha256(path: Path, modified: int) -> str:
    """Once for each state of a file: Hydra asks for the hash of a configuration several times."""
    return file_sha256(path)


def read_result(folder: Path) -> dict[str, Any] | None:
    """The content of a finished run's `result.json`; None where the run is not finished."""
    return _read(folder / "result.json", ("settings", "rows"))


def _read(path: Path, needed: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """A JSON file with the needed keys; None where there is no file, and a file that cannot be used is set aside."""
    try:
        content = json.loads(path.read_text())
        if not isinstance(content, dict) or not content.keys() >= set(needed):
            raise ValueError("it holds something else")
        return unseal(content)
    except FileNotFoundError:
        return None
    except ValueError as error:
        set_aside(path, error)
        return None


def _hash_in(folder: Path) -> str | None:
    """The hash of the configuration with which a run started in a folder; None where it cannot be read."""
    try:
        return config_hash(OmegaConf.load(folder / "config.yaml"))  # type: ignore[arg-type]
    except (OSError, ValueError, YAMLError):
        return None
