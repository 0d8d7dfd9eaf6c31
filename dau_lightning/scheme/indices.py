"""Forgetting by list: marks the samples that a file names, or that a table names in the rows that fulfil a condition."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from dau_lightning.base.console import printable
from dau_lightning.base.error import InputError, require
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.cells import NO_UTF_8, NUMBER
from dau_lightning.scheme.columns import COLUMNS, plain, promised, promises_image
from dau_lightning.scheme.list_file import Row, is_table_name, read_list
from dau_lightning.scheme.match import match
from dau_lightning.scheme.names import WHOLE, Names
from dau_lightning.scheme.positions import as_positions, imagefolder_order
from dau_lightning.scheme.spelling import composed
from dau_lightning.scheme.where import fulfilling


class Indices:
    """Marks the samples of a list, in any order. Each entry must name a sample; a sample that is named twice counts once.

    An entry is a sample's id, which for image files is the path relative to the root; `match.match` has the other spellings.
    Entries that are all whole numbers are positions in the training set, from 0, unless they can be names.

    Args:
        file: a list or a table in one of the forms of `list_file.read_list`.
        where: a condition on the columns of the table, see `where.fulfilling`; None to take every row.
        column: the column of the table that names samples; None for the only column with a name in `COLUMNS`.
        by: `position`, `path` or `id`, what the entries are; None to tell from the entries.
        with_copies: whether to mark all training images with the pixels of a named one too.
        wrong_labels: whether the labels of these samples are wrong, so that the unlearned model should not predict them.
    """

    names_samples = True  # marks samples of the whole training set, before any of them are held out

    def __init__(
        self,
        file: str,
        where: str | None,
        column: str | None,
        by: str | None = None,
        with_copies: bool = False,
        wrong_labels: bool = False,
    ) -> None:
        self.file, self.where, self.column, self.by = Path(file).expanduser(), where, column, by
        self.with_copies, self.wrong_labels = with_copies, wrong_labels
        self.found: dict[str, Any] = {}  # numbers from the last call, for the record of the request
        self.column_read: str | None = None  # the column of the table that named samples in the last call
        self.how: dict[str, str] = {}  # by the id of a marked sample, the entry and how it was matched

    def __call__(self, train: Images, generator: torch.Generator) -> Tensor:
        """Mark the samples: bool `(N,)`.

        Raises:
            InputError: the file cannot be read, is empty, or has an entry that names no sample, or could name several.
        """
        entries, kind, by = self.entries(train)
        require(bool(entries), f"{self.file} must name at least one sample to forget, it names none")
        found = match(entries, train, by, kind, self.file)
        self.how = {train.ids[each.place]: f"{each.entry!r} by {each.how}" for each in found}
        mask = torch.zeros(len(train), dtype=torch.bool)
        mask[[each.place for each in found]] = True
        matched_by = "position" if found[0].how == "position" else by or "id"
        self.found = {"file": self.file.name, "entries": len(entries), "duplicates": len(entries) - int(mask.sum())}
        self.found["matched_by"] = matched_by
        self.found |= {"where": self.where} if self.where else {}
        self.found |= {"wrong_labels": True} if self.wrong_labels else {}
        self.found |= {"column": self.column_read} if self.column_read and matched_by == "position" else {}
        if self.with_copies:
            self._mark_copies(train, mask)
        return mask

    def entries(self, train: Images) -> tuple[list[str], str | None, str | None]:
        """The entries of the file, the kind that the column promises, and `by`."""
        content = read_list(self.file, bool(self.where or self.column))
        if isinstance(content, np.ndarray):
            require(not (self.where or self.column), f"scheme.where and scheme.column need a table, {self.file} is an array")
            if content.dtype.kind in "US":
                texts = np.char.decode(content, "utf-8", "surrogateescape") if content.dtype.kind == "S" else content
                return [str(entry) for entry in texts.ravel()], None, self.by
            by = "position" if content.dtype == bool else self.by
            return list(map(str, as_positions(content, len(imagefolder_order(train)[0]), str(self.file)))), None, by
        first = content[0].cells if content else [""]
        if is_table_name(self.file) or self.where or self.column or len(first) > 1 or plain(first[0]) in COLUMNS:
            entries, kind = self._named(content, train)
        else:
            entries, kind = [row.cells[0] for row in content], None
        if self.by in (None, "position") and all(map(WHOLE.fullmatch, entries)):
            numbers = np.asarray([int(entry.partition(".")[0]) for entry in entries])
            as_positions(numbers, len(imagefolder_order(train)[0]), str(self.file))
        return entries, kind, self.by

    def _named(self, rows: Sequence[Row], train: Images) -> tuple[list[str], str | None]:
        """The cells that name samples in the rows of a table, and the kind of entries that their column promises."""
        first, *rows = rows
        header, names = Row(list(map(composed, first.cells)), first.line), Names(train)
        if len(header.cells) > 1 or self.column or self.where:
            image = names.in_header(header.cells)
            require(
                image is None,
                f"{self.file}: the first line must be a header, but {image!r} in it is an image: put the names of the columns "
                "above it",
            )
        self.column_read = column = composed(self.column or "") or self._column(header.cells)
        if column is None:  # a list without a header
            place, rows = 0, [first, *rows]
        else:
            require(column in header.cells, self._no_column(header.cells))
            place = header.cells.index(column)
            require(header.cells.count(column) == 1, f"{self.file} must have one column {column!r}, not several: rename them")
        if self.where is not None:
            count, rows = len(rows), [rows[index] for index in fulfilling([header, *rows], self.where)]
            require(bool(rows), f"scheme.where must be true for some row, {self.where!r} is for none of {count:,}")
        named = [row.cells[place] for row in rows]
        if self.column is None and self.by is None and all(map(NUMBER.fullmatch, named)):
            self._refuse_numbers(header.cells, rows, place, names)
        empty = [row.line for row, name in zip(rows, named, strict=True) if not name]
        told = f"{len(empty)} are empty, the first in line {empty[0]}" if empty else ""
        require(not empty, f"{self.file}: column {column} must name a sample in every row, {told}")
        return named, promised(column or "")

    def _refuse_numbers(self, header: Sequence[str], rows: Sequence[Row], place: int, names: Names) -> None:
        """Raise an error if another column than the one of numbers has names of images."""
        for other, name in enumerate(header):
            if other != place and names.some([row.cells[other] for row in rows], promises_image(name)):
                raise InputError(
                    f"{self.file}: column {header[place]} has numbers, but column {name} has names of images: write "
                    f"scheme.column={name!r} or scheme.column={header[place]!r}"
                )

    def _column(self, names: Sequence[str]) -> str | None:
        """The column that names samples; None if the only line above the entries is an entry too."""
        told = [name for name in names if plain(name) in COLUMNS]
        if len(told) == 1:
            return told[0]
        if number := next((name for name in names if NUMBER.fullmatch(name)), None):
            raise InputError(
                f"{self.file}: the first line must be a header, but {number!r} in it is a number, as pandas writes for a "
                "Series; if it is an entry, put a line such as 'position' or 'path' above it"
            )
        require(len(names) == 1 and not told and not self.where, self._no_column(names))
        return None

    def _no_column(self, names: Sequence[str]) -> str:
        if strange := next(filter(NO_UTF_8.search, names), None):
            return f"{self.file} must be in UTF-8, {strange!r} in its header is not: save it as CSV UTF-8"
        return (
            f"scheme.column must be the column of {self.file} that names the samples, one of {', '.join(names)}; "
            f"got {self.column or 'null'}"
        )

    def _mark_copies(self, train: Images, mask: Tensor) -> None:
        originals = {train.digests[place]: train.ids[place] for place in mask.nonzero().flatten().tolist()}
        copies = [place for place, digest in enumerate(train.digests) if digest in originals and not mask[place]]
        self.how |= {train.ids[place]: f"copy of {printable(originals[train.digests[place]])}" for place in copies}
        mask[copies] = True
        self.found["copies_added"] = len(copies)


class Positions(Indices):
    """Marks the samples at positions that a Python program passes; they are matched like entries of a file."""

    def __init__(self, positions: Iterable[int], wrong_labels: bool = False, with_copies: bool = False) -> None:
        super().__init__("forget", None, None, with_copies=with_copies, wrong_labels=wrong_labels)
        self.positions = list(positions)

    def entries(self, train: Images) -> tuple[list[str], str | None, str | None]:
        """The positions as text, like the entries of a file."""
        return [str(position) for position in self.positions], None, "position"
