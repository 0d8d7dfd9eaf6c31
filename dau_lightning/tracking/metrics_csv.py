"""`metrics.csv`: one row for every logged step of a phase, also after a run was killed and came to some steps again."""

import csv
import io
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch.loggers import Logger

from dau_lightning.base.error import InputError
from dau_lightning.storage.atomic import atomic_write, set_aside

Row = dict[str, Any]


class MetricsCSV(Logger):
    """A logger into a CSV file with a column for every metric, each row there as soon as it is logged.

    A step that is there already is not written again: it is a function of its number, and so are its metrics.

    Args:
        path: of the file; what stands there is continued.
    """

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.rows: dict[tuple[int, frozenset[str]], Row] | None = None  # read with the first row
        self.columns: list[str] = []

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
        """Append a row; a new metric makes the file anew, with one more column.

        Raises:
            InputError: the file cannot be written.
        """
        assert step is not None
        rows, which = self._rows(), (step, frozenset(metrics))
        if which in rows:
            return
        rows[which] = {"step": step, **metrics}
        if rows[which].keys() <= set(self.columns):
            try:
                with open(self.path, "a", newline="") as file:
                    file.write(self._text([rows[which]]))
            except OSError as error:
                raise InputError(f"cannot write {self.path} ({error.strerror})") from error
        else:
            self.columns = sorted({*self.columns, *rows[which]})
            with atomic_write(self.path) as temporary:
                temporary.write_text(self._text([dict(zip(self.columns, self.columns, strict=True)), *rows.values()]))

    def logged(self, phase: str) -> list[dict[str, float]]:
        """The rows of a phase so far, this run's and those before it was killed; metrics by name, and `step`."""
        found = [row for row in self._rows().values() if any(name.startswith(f"{phase}/") for name in row)]
        return [{name.removeprefix(f"{phase}/"): float(value) for name, value in row.items()} for row in found]

    def save(self) -> None:
        """Flush the file to the disk."""
        if self.path.is_file():
            with open(self.path, "rb+") as file:
                os.fsync(file.fileno())

    def _rows(self) -> dict[tuple[int, frozenset[str]], Row]:
        """All rows so far; a line that a killed run left unfinished is cut off."""
        if self.rows is None:
            text = self.path.read_text() if self.path.is_file() else ""
            lines = [line for line in text.splitlines(keepends=True) if line.endswith("\n")]
            if text and not text.endswith("\n"):
                with atomic_write(self.path) as temporary:
                    temporary.write_text("".join(lines))
            found = [{name: value for name, value in row.items() if value} for row in csv.DictReader(lines)]
            try:
                self.rows = {(int(row["step"]), frozenset(row) - {"step"}): row for row in found}
                self.columns = next(csv.reader(lines), [])
            except (ValueError, KeyError, TypeError) as error:
                set_aside(self.path, f"a row without a step: {error}")
                self.rows, self.columns = {}, []
        return self.rows

    def _text(self, rows: list[Row]) -> str:
        file = io.StringIO()
        csv.DictWriter(file, self.columns, lineterminator="\n").writerows(rows)
        return file.getvalue()
