"""Forgetting by list: marks the samples that a file names, or that a table names in the rows that fulfil a condition."""

import csv
import io
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.error import InputError, require
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.where import fulfilling
from dau_lightning.storage.atomic import read_lines

TEXT: dict[str, Any] = {"encoding": "utf-8-sig", "errors": "surrogateescape"}  # names of files need not be UTF-8
COLUMNS = ("id", "ids", "path", "file", "filename", "file_name", "image", "index", "position")  # may name samples


class Indices:
    """Marks the samples of a list, in any order. Each entry must name a sample; a sample that is named twice counts once.

    An entry is a sample's id, which for image files is the path relative to the root (with or without `train/`). If all
    entries are integers and none of them is an id, they are positions in the training set, from 0.

    Args:
        file: a plain list with one entry in each line, or a table with a header (`.csv`, `.tsv`).
        where: a condition on the columns of the table, see `where.fulfilling`; None to take every row.
        column: the column of the table that names samples; None for the only column with a name in `COLUMNS`.
    """

    names_samples = True  # marks samples of the whole training set, before any of them are held out

    def __init__(self, file: str, where: str | None, column: str | None) -> None:
        self.file, self.where, self.column = Path(file).expanduser(), where, column
        self.found: dict[str, Any] = {}  # numbers from the last call, for the record of the request

    def __call__(self, train: Images, generator: torch.Generator) -> Tensor:
        """Mark the samples: bool `(N,)`.

        Raises:
            InputError: the file cannot be read, is empty, or has an entry that names no sample.
        """
        entries = self.entries()
        require(bool(entries), f"{self.file} must name at least one sample to forget, it names none")
        places, kind = self._match(entries, train.ids)
        mask = torch.zeros(len(train), dtype=torch.bool)
        mask[places] = True
        duplicates = len(entries) - int(mask.sum())
        self.found = {"file": self.file.name, "entries": len(entries), "duplicates": duplicates, "matched_by": kind}
        self.found |= {"where": self.where} if self.where else {}
        return mask

    def entries(self) -> list[str]:
        """The entries of the file, as they are written there."""
        try:
            if self.file.suffix.lower() in (".csv", ".tsv") or self.where or self.column:
                return self._table()
            return [entry for line in read_lines(self.file, TEXT["errors"]) if (entry := line.strip())]
        except OSError as error:
            raise InputError(f"scheme.file must be a list or a table that can be read, got {self.file}: {error}") from error

    def _table(self) -> list[str]:
        header, *rows = self._rows()
        if len(header) == 1 and not self.where and not self.column and header[0].lower() not in COLUMNS:
            column, place, rows = "id", 0, [header, *rows]
        else:
            column = self._column(header)
            place = header.index(column)
        if self.where is not None:
            count, rows = len(rows), [rows[index] for index in fulfilling(_typed([header, *rows]), self.where).index]
            require(bool(rows), f"scheme.where must be true for some row, {self.where!r} is for none of {count:,}")
        named = [row[place].strip() if place < len(row) else "" for row in rows]
        empty = named.count("")
        require(not empty, f"{self.file}: column {column} must name a sample in every row, {empty} are empty")
        return named

    def _rows(self) -> list[list[str]]:
        """The rows, the header first, without blank lines. Extra empty fields are cut; other extra fields are an error."""
        rows: list[list[str]] = []
        unreadable = f"scheme.file must be a table that can be read, got {self.file}"
        with open(self.file, newline="", **TEXT) as file:
            separator = max(",;\t", key=file.readline().count)
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, strict=True)
            try:
                for row in reader:
                    width = len(rows[0] if rows else row)
                    if any(field.strip() for field in row[width:]):
                        found = f"which has {width}; line {reader.line_num} has {len(row)}"
                        raise InputError(f"{self.file}: no row may have more fields than the header, {found}")
                    if len(row) > 1 or "".join(row).strip():
                        rows.append(row[:width])
            except csv.Error as error:
                raise InputError(f"{unreadable}: line {reader.line_num}: {error}") from error
        require(bool(rows), f"{unreadable}: it is empty")
        return rows

    def _column(self, names: Sequence[str]) -> str:
        """The column that names samples."""
        told = [name for name in names if name == self.column] if self.column else [n for n in names if n.lower() in COLUMNS]
        if len(told) != 1:
            raise InputError(
                f"scheme.column must be the column of {self.file} that names the samples, one of {', '.join(names)}; "
                f"got {self.column or 'null'}"
            )
        return told[0]

    def _match(self, entries: Sequence[str], ids: Sequence[str]) -> tuple[list[int], str]:
        """Positions of the entries, and whether they were matched by `id` or by `position`.

        Entries are positions if all of them are plain numbers and none is an id. If one of them is an id, the numbers that
        are not are errors, since nobody meant them as positions. 0007 is not a plain number: it can only be an id.
        """
        known = {name: place for place, name in enumerate(ids)}
        if all(re.fullmatch("0|[1-9][0-9]{0,17}", entry) and entry not in known for entry in entries):
            places, kind = [int(entry) if int(entry) < len(ids) else None for entry in entries], "position"
        else:
            places, kind = [known[entry] if entry in known else _rewritten(entry, known) for entry in entries], "id"
        if unknown := list(dict.fromkeys(e for e, place in zip(entries, places, strict=True) if place is None)):
            some = ", ".join(map(repr, unknown[:5])) + (", ..." if len(unknown) > 5 else "")
            id_or_position = f"an id such as {ids[0]!r}, or all by positions"
            wanted = f"a position from 0 to {len(ids) - 1}" if kind == "position" else id_or_position
            raise InputError(
                f"{self.file}: every entry must name a training image by {wanted}; "
                f"{len(unknown):,} of {len(set(entries)):,} do not: {some}{_hint(unknown)}"
            )
        return [place for place in places if place is not None], kind


def _typed(rows: Sequence[Sequence[str]]) -> Any:
    """The rows, read by pandas with types: 007 is 7. A column has the same type in all rows."""
    import pandas  # takes half a second, which other runs are spared

    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    text.seek(0)
    return pandas.read_csv(text, index_col=False, low_memory=False, encoding_errors=TEXT["errors"])


def _rewritten(entry: str, known: dict[str, int]) -> int | None:
    """The position of an id that is a path in another spelling: with backslashes, `./`, or without `train/`."""
    plain = entry.replace("\\", "/").removeprefix("./")
    return known.get(plain, known.get(f"train/{plain}"))


def _hint(unknown: Sequence[str]) -> str:
    if any(entry.startswith(("test/", "val/")) for entry in unknown):
        return " (images of test/ and val/ were never trained on)"
    return " (write paths relative to dataset.root)" if any(Path(entry).is_absolute() for entry in unknown) else ""


class Positions(Indices):
    """Marks the samples at positions that a Python program passes; they are matched like entries of a file."""

    def __init__(self, positions: Iterable[int]) -> None:
        super().__init__("forget", None, None)
        self.positions = list(positions)

    def entries(self) -> list[str]:
        """The positions as text, like the entries of a file."""
        return [str(position) for position in self.positions]
