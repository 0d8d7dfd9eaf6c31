"""Finished runs, found below folders, and what a table needs to know of each."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dau_lightning.base.error import InputError
from dau_lightning.storage.run_folder import FAILED
from dau_lightning.storage.run_name import called
from dau_lightning.storage.seal import unseal

NEEDED = ("dataset", "network", "scheme", "sparsity", "baseline", "seed", "split_hash", "selection", "settings", "rows")

SHARED = ("dataset", "scheme", "network", "recipe", "transform")
OWN = ("root", "cache", "seed")  # of a run: where its images are, and its seed


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run: its folder and its `result.json`."""

    folder: Path
    result: Mapping[str, Any]

    @property
    def names(self) -> tuple[str, str, str]:
        """Dataset, network and scheme: what shares a table."""
        return called(self.result, self.result["settings"], self.result.get("files", {}))

    @property
    def baseline(self) -> str:
        """The method."""
        return self.result["baseline"]

    @property
    def seed(self) -> int:
        """The seed."""
        return self.result["seed"]

    @property
    def selection(self) -> bool:
        """Whether it was judged by the selection score."""
        return self.result["selection"]

    @property
    def settings(self) -> Mapping[str, Any]:
        """Of its method."""
        return self.result["settings"]["baseline"]

    @cached_property
    def method(self) -> dict[str, str]:
        """The settings of its method, as one level of dotted names."""
        return _flat(self.settings)

    @cached_property
    def surroundings(self) -> dict[str, str]:
        """The settings that all rows of a table share, as one level of dotted names."""
        settings = {name: self.result["settings"].get(name, {}) for name in SHARED}
        settings["trainer"] = {"precision": self.result["settings"].get("trainer", {}).get("precision")}
        settings["dataset"] = {name: value for name, value in settings["dataset"].items() if name not in OWN}
        return _flat(settings)

    @cached_property
    def pruning(self) -> dict[str, str]:
        """The settings of its sparsity."""
        return {f"sparsity.{name}": str(value) for name, value in self.result["settings"].get("sparsity", {}).items()}

    @cached_property
    def flat(self) -> dict[str, str]:
        """All its settings, as one level of dotted names."""
        return _flat(self.result["settings"])

    @property
    def amount(self) -> float:
        """The share of convolution weights that is pruned; 0 for a dense network, 1 where it is not told."""
        return 0 if self.result["sparsity"] == "dense" else self.result["settings"]["sparsity"].get("amount", 1)

    @property
    def sparsity(self) -> str:
        """The sparsity in words: `dense`, `95% sparse`; other ways than one-shot magnitude pruning bear their name."""
        choice = self.result["sparsity"]
        return f"{100 * self.amount:g}% sparse" if choice.startswith("omp") else choice


def read(folders: Iterable[Path]) -> list[Run]:
    """All finished runs below some folders, each once.

    Raises:
        InputError: there is none in a folder; a `result.json` is not a run's.
    """
    runs: dict[Path, Run] = {}
    for folder in folders:
        paths = sorted(folder.rglob("result.json"))
        if not paths:
            raise InputError(f"no finished run (result.json) in {folder}")
        for path in paths:
            if path.resolve() not in runs:
                runs[path.resolve()] = Run(path.parent, _result(path))
    return list(runs.values())


def unfinished(folders: Iterable[Path]) -> list[str]:
    """A line for each run below some folders that started and left no result, with the reason where one is known."""
    lines = []
    for path in sorted({path for folder in folders for path in folder.rglob("config.yaml")}):
        failed, folder = path.with_name(FAILED), path.parent
        if not (folder / "result.json").exists():
            reason = failed.read_text().strip() if failed.is_file() else "it was ended, or still runs"
            lines.append(f"{folder} has no result and is no part of this ({reason})")
    return lines


def _result(path: Path) -> dict[str, Any]:
    try:
        result = unseal(json.loads(path.read_text()))
    except (ValueError, AttributeError) as error:  # no JSON, or no object
        raise InputError(f"{path} is no result of a run: {error}") from error
    if missing := [name for name in NEEDED if name not in result]:
        raise InputError(f"{path} is no result of a run: {', '.join(missing)} missing")
    return result


def _flat(node: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """A tree of settings as one level of dotted names."""
    flat: dict[str, str] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": str(value)}
    return flat
