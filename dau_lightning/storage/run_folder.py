"""The run folder, which belongs to one configuration; a `result.json` in it means that the run is finished."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from safetensors import SafetensorError, safe_open
from yaml import YAMLError

from dau_lightning.base.error import InputError, require
from dau_lightning.storage.atomic import locked, write_text
from dau_lightning.storage.seal import file_sha256, json_sha256, usable_json, write_json

NOT_IN_HASH = "hydra", "store", "checkpoint", "wandb", "overwrite", "figures", "dynamics", "preview"  # paths, loggers, display
# Removed in this order: result.json, which says that the others are complete, first.
LEFT_BY_A_RUN = (
    *("result.json", "audit.json", "audit.safetensors", "report.html", "metrics.csv"),
    *("unlearned.checkpoint", "unlearned.safetensors"),
)
FAILED = "failed.txt"  # holds the reason why a training could not go on
FILE_SETTINGS = {"scheme": "file", "original": "checkpoint"}  # settings that name one of the user's files
OWN_FOLDER = "to keep both, give this run a folder with hydra.run.dir=...; to replace it, add overwrite=true"


class FinishedMeanwhile(InputError):
    """Another process has finished the run that this one was about to start."""


@dataclass(frozen=True)
class RunFolder:
    """The folder of a run, and everything that identifies the run.

    Attributes:
        path: the folder.
        config: the composed configuration, as yaml.
        config_hash: SHA-256 of the configuration without paths, loggers and display.
        files: by setting, name and SHA-256 of each of the user's files that the settings name.
        data_root: the folder of the images.
        overwrite: whether to run again if the folder holds a finished run.
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

        The name of the folder identifies the configuration without its paths, and a user may have chosen it, so both are
        checked here. The images are not read: the result describes them as they were.

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
        """Lock the folder and write the run's configuration, below a line with the hash of its split.

        Files that an unfinished run of the same configuration and split left are kept, to continue it; others are removed.

        Args:
            until_closed: holds the lock, which keeps other processes out of the folder, until it is closed.
            split_hash: hash of the data and the forget set.

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

    def write_result(self, result: Mapping[str, Any]) -> None:
        """Write `result.json`, as a whole or not at all: it says that the run is finished."""
        write_json(self.path / "result.json", result)


def config_hash(config: DictConfig) -> str:
    """SHA-256 of a composed configuration without paths, loggers and display; of a user's file, the content enters it."""
    content: Any = OmegaConf.to_container(config, resolve=False)
    content = {name: node for name, node in content.items() if name not in NOT_IN_HASH}
    for name in ("root", "cache", "resident_limit"):
        content.get("dataset", {}).pop(name, None)
    for setting, file in user_files(content).items():
        *node, name = setting.split(".")
        (content[node[0]] if node else content)[name] = file["sha256"]
    return json_sha256(content)


def register_resolver() -> None:
    """Define `${config_hash:}`, the hash of a yaml file's own configuration; only a command calls this."""
    OmegaConf.register_new_resolver("config_hash", lambda *, _root_: config_hash(_root_)[:8], replace=True)


def user_files(settings: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """By setting, name and SHA-256 of each of the user's files that the settings name and that exists."""
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
    """The hash, computed once for each state of a file, since Hydra asks for a configuration's hash several times."""
    return file_sha256(path)


def read_result(folder: Path) -> dict[str, Any] | None:
    """The content of a finished run's `result.json`; None if the run is not finished."""
    return usable_json(folder / "result.json", ("settings", "rows"))


def _hash_in(folder: Path) -> str | None:
    """The hash of the configuration with which a run started in a folder; None if it cannot be read."""
    try:
        return config_hash(OmegaConf.load(folder / "config.yaml"))  # type: ignore[arg-type]
    except (OSError, ValueError, YAMLError):
        return None
