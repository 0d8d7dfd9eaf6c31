"""`metrics.csv`: one row for every logged step of a phase.

Not Lightning's `CSVLogger`: it keeps rows in memory until it saves, and a resumed run would start the file anew.
"""

import csv
import os
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import atomic_write, set_aside, write_text

CSVRow = dict[str, Any]
Key = tuple[int, frozenset[str]]  # step and names of the metrics: what identifies a row


class MetricsCSV(Logger):
    """A logger into a CSV file with a column for every metric; each row is written as soon as it is logged.

    A resumed run repeats some steps, with the same metrics: their rows are not written twice. A training that begins again
    from its start has other metrics: its rows follow, and count in place of the earlier ones.

    Args:
        path: of the file; one that exists is continued.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path, self.columns = path, list[str]()

    @property
    def name(self) -> str:
        """None."""
        return ""

    @property
    def version(self) -> str:
        """None."""
        return ""

    def log_hyperparams(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: the run folder has the configuration."""

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Append a row. If it has a new metric, the file is written anew with one more column.

        Raises:
            InputError: the file cannot be written.
        """
        assert step is not None
        key, row = (step, frozenset(metrics)), {"step": step, **metrics}
        if key in self.rows and all(str(self.rows[key][name]) == str(value) for name, value in metrics.items()):
            return
        self.rows[key] = row
        if row.keys() <= set(self.columns):
            try:
                self._write(self.path, "a", [row])
            except OSError as error:
                raise InputError(f"cannot write {self.path} ({error.strerror})") from error
        else:
            self.columns = sorted({*self.columns, *row})
            with atomic_write(self.path) as temporary:
                self._write(temporary, "w", [{name: name for name in self.columns}, *self.rows.values()])

    def logged(self, phase: str) -> list[dict[str, float]]:
        """All rows of a phase, also those from before a kill: metrics by name, and `step`."""
        found = [row for row in self.rows.values() if any(name.startswith(f"{phase}/") for name in row)]
        return [{name.removeprefix(f"{phase}/"): float(value) for name, value in row.items()} for row in found]

    def save(self) -> None:
        """Flush the file to the disk."""
        if self.path.is_file():
            with open(self.path, "rb+") as file:
                os.fsync(file.fileno())

    @cached_property
    def rows(self) -> dict[Key, CSVRow]:
        """All rows so far, read with `columns` when the first is logged; an incomplete line of a killed run is cut off."""
        text = self.path.read_text() if self.path.is_file() else ""
        lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
        if text and not text.endswith("\n"):
            write_text(self.path, "".join(lines))
        found = [{name: value for name, value in row.items() if value} for row in csv.DictReader(lines)]
        try:
            rows = {(int(row["step"]), frozenset(row) - {"step"}): row for row in found}
        except (ValueError, KeyError, TypeError) as error:
            set_aside(self.path, f"a row without a step: {error}")
            return {}
        self.columns = next(csv.reader(lines), [])
        return rows

    def _write(self, path: Path, mode: str, rows: Iterable[CSVRow]) -> None:
        with open(path, mode, newline="") as file:
            csv.DictWriter(file, self.columns, lineterminator="\n").writerows(rows)
