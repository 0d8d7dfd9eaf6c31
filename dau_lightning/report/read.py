"""Finds the finished runs below folders and reads what identifies each."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from dau_lightning.base.error import InputError
from dau_lightning.base.nested import flatten
from dau_lightning.storage.audit_file import findings
from dau_lightning.storage.run_folder import FAILED
from dau_lightning.storage.run_name import run_name
from dau_lightning.storage.seal import read_json

NEEDED = ("dataset", "network", "scheme", "sparsity", "baseline", "seed", "split_hash", "selection", "settings", "rows")
AS_TYPED = {"True": "true", "False": "false", "None": "null"}


@dataclass(frozen=True, eq=False)
class Run:
    """A finished run.

    Attributes:
        folder: where it stands.
        result: the content of its `result.json`.
    """

    folder: Path
    result: Mapping[str, Any]

    @cached_property
    def settings(self) -> dict[str, str]:
        """All settings as texts, by dotted name."""
        return texts(self.result["settings"])

    @cached_property
    def method(self) -> dict[str, str]:
        """The settings of its method, without `baseline.` before their names."""
        return texts(self.result["settings"]["baseline"])

    @property
    def pruning(self) -> dict[str, str]:
        """The settings of its sparsity, with `sparsity.` before their names."""
        return {name: value for name, value in self.settings.items() if name.startswith("sparsity.")}

    @property
    def machine(self) -> str | None:
        """What it was measured on, such as `AMD EPYC, AVX2, 2 threads`; None where it does not say."""
        about = self.result.get("hardware", {})
        words = [about.get("name"), about.get("capability"), f"{about.get('threads')} threads"]
        return ", ".join(filter(None, words)) if about else None

    @cached_property
    def names(self) -> tuple[str, str, str]:
        """Dataset, network and scheme in words."""
        return run_name(self.result, self.result["settings"], self.result.get("files", {}))

    @cached_property
    def audit(self) -> dict[str, Any] | None:
        """The content of its `audit.json`; None without an audit."""
        return findings(self.folder)

    @property
    def amount(self) -> float:
        """The share of convolution weights that is pruned; 0 for a dense network, 1 where it is unknown."""
        return 0 if self.result["sparsity"] == "dense" else self.result["settings"]["sparsity"].get("amount", 1)

    @property
    def sparsity(self) -> str:
        """The sparsity in words: `dense`, `95% sparse`; the choice itself unless it is one-shot magnitude pruning."""
        choice = self.result["sparsity"]
        return f"{100 * self.amount:g}% sparse" if choice.startswith("omp") else choice

    @property
    def title(self) -> str:
        """What was run, in one line."""
        method = self.result["rows"][self.result["baseline"]]["label"]
        return f"{method} on {', '.join([*self.names, self.sparsity])}, seed {self.result['seed']}"


def texts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings by dotted name, as one types them.

    >>> texts({"lr": 0.1, "attacker": {"width": None}})
    {'lr': '0.1', 'attacker.width': 'null'}
    """
    return {name: AS_TYPED.get(str(value), str(value)) for name, value in flatten(settings, ".").items()}


def read(folders: Iterable[Path]) -> list[Run]:
    """All finished runs below some folders, each once.

    Raises:
        InputError: there is none in a folder, or a `result.json` does not come from a run.
    """
    runs: dict[Path, Run] = {}
    for folder in folders:
        paths = sorted(folder.rglob("result.json"))
        if not paths:
            remedy = "name the folder of one; a run that was stopped goes on by its own command"
            raise InputError(f"no finished run (result.json) in {folder}: {remedy}")
        runs |= {path.resolve(): Run(path.parent, _result(path)) for path in paths if path.resolve() not in runs}
    return list(runs.values())


def unfinished(folders: Iterable[Path]) -> list[str]:
    """A line for each run below some folders that started and left no result, with the reason where one is known."""
    lines = []
    for config in sorted({path for folder in folders for path in folder.rglob("config.yaml")}):
        run, failed = config.parent, config.with_name(FAILED)
        if not (run / "result.json").exists():
            reason = failed.read_text().strip() if failed.is_file() else "it was stopped, or is still running"
            lines.append(f"{run} has no result and is left out ({reason})")
    return lines


def _result(path: Path) -> dict[str, Any]:
    try:
        return read_json(path, NEEDED)
    except ValueError as error:
        raise InputError(f"{path} is not the result of a run: {error}") from error
