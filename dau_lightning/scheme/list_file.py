"""Reads a list of samples in any of its forms: a text with an entry a line, a table, an array as JSON or of NumPy."""

import codecs
import csv
import io
import json
import re
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from dau_lightning.base.error import InputError, require
from dau_lightning.scheme.columns import COLUMNS, plain

MARKS = {  # byte-order marks; that of UTF-32 begins with that of UTF-16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
SEPARATORS = ",;\t|"


class Row(NamedTuple):
    """The cells of a line, stripped, and the number of that line in the file."""

    cells: list[str]
    line: int


def read_list(path: Path, table: bool) -> list[Row] | np.ndarray:
    """The rows of a text or a table, a table's header first, or the array in a file.

    Args:
        path: `.npy` and `.json` are arrays; `.csv`, `.tsv` and any text whose first line has a tab are tables.
        table: whether the text is a table whatever its name and content.

    Raises:
        InputError: the file cannot be read, is binary, or its rows have more fields than its header.
    """
    try:
        if path.suffix.lower() == ".npy":
            with open(path, "rb") as file:
                return np.lib.format.read_array(file, allow_pickle=False)
        text = _text(path)
        if path.suffix.lower() == ".json":
            return _json(text)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(f"scheme.file must be a list or a table that can be read, got {path}: {error}") from error
    tabs = "\t" in text.partition("\n")[0].strip()  # Excel gives its Unicode text, which has tabs, the name .txt
    if table or tabs or is_table_name(path):
        return _table(path, text)
    lines = enumerate(re.split(r"\r?\n", text), 1)
    return [Row([entry], number) for number, line in lines if (entry := line.strip())]


def is_table_name(path: Path) -> bool:
    """Whether the name of a text says that it is a table."""
    return path.suffix.lower() in (".csv", ".tsv")


def _text(path: Path) -> str:
    """The text, decoded by its byte-order mark, else as UTF-8; names of files in it need not be UTF-8."""
    content = path.read_bytes()
    encoding = next((encoding for mark, encoding in MARKS.items() if content.startswith(mark)), None)
    if encoding is None and (b"\0" in content or content.startswith((b"PK\3\4", b"\x80"))):
        kind = (
            "an Excel workbook, an archive or .npz" if content.startswith(b"PK") else "such as pickle or UTF-16 without a mark"
        )
        raise ValueError(
            f"it is binary ({kind}), which is not read; save it as CSV or text in UTF-8, as a JSON array, or with "
            "numpy.save('forget.npy', positions)"
        )
    text = content.decode(encoding or "utf-8", "strict" if encoding in ("utf-16", "utf-32") else "surrogateescape")
    return text if "\n" in text else text.replace("\r", "\n")  # lines of old Macintosh programs


def _json(text: str) -> np.ndarray:
    content: Any = json.loads(text)
    kinds = {type(entry) for entry in content} if isinstance(content, list) else set()
    if len(kinds) != 1 or not kinds <= {str, int, bool}:
        raise ValueError("JSON must be one array of texts, of whole numbers, or of true and false")
    return np.asarray(content)


def _separator(path: Path, header: str) -> str:
    """What separates the cells of a header; one such as `path;notes (a, b, c)` has more commas than columns."""
    tsv = path.suffix.lower() == ".tsv"
    if "\t" in header or (tsv and not set(SEPARATORS) & set(header)):
        return "\t"
    named = [each for each in SEPARATORS if any(plain(cell.strip(' "\r')) in COLUMNS for cell in header.split(each))]
    return max(named or SEPARATORS, key=header.count)


def _table(path: Path, text: str) -> list[Row]:
    """The rows without blank lines. Extra empty fields are cut; other extra fields are an error.

    PowerShell may write a first line such as `#TYPE System.Object`, and Excel one such as `sep=;`.
    """
    first, _, rest = text.partition("\n")
    told = re.fullmatch(r'"?sep=(.)"?\s*', first)
    skipped = int(bool(told) or first.startswith("#TYPE "))
    text = rest if skipped else text
    separator = told[1] if told else _separator(path, text.partition("\n")[0])
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True, skipinitialspace=True)
    rows: list[Row] = []
    unreadable = f"scheme.file must be a table that can be read, got {path}"
    try:
        for fields in reader:
            cells, line = [field.strip() for field in fields], reader.line_num + skipped
            width = len(rows[0].cells if rows else cells)
            if any(cells[width:]):
                found = f"which has {width}; line {line} has {len(cells)}"
                raise InputError(f"{path}: no row may have more fields than the header, {found}")
            if len(cells) > 1 or "".join(cells):
                rows.append(Row(cells[:width] + [""] * (width - len(cells)), line))
    except csv.Error as error:
        raise InputError(f"{unreadable}: line {reader.line_num + skipped}: {error}") from error
    require(bool(rows), f"{unreadable}: it is empty")
    return rows
