"""All numbers of all rows as plain records, unrounded: a CSV for pandas, a table for Weights & Biases."""

import csv
import io
from collections.abc import Iterable

from dau_lightning.report.rows import Group

Value = str | int | float | None
SINGLE = ("of means", "paper disparity", "paper minutes", "paper speed-up")  # without a deviation, whatever the seeds


def records(groups: Iterable[Group]) -> tuple[list[str], list[list[Value]]]:
    """Header, and one record for every row of every sparsity.

    A column of the tables gives two, `NAME_mean` and `NAME_std` (sample standard deviation), in plain letters: `gap_UA_mean`.
    """
    made: list[dict[str, Value]] = []
    for group in groups:
        named = dict(zip(("dataset", "network", "scheme"), group.names, strict=True))
        for sparsity, lines in group.cells.items():
            for name in filter(lines.__contains__, group.lines):
                line = lines[name]
                record: dict[str, Value] = {**named, "sparsity": sparsity, "selection": int(group.selection)}
                record |= {"method": name, "kind": line.kind, "seeds": " ".join(map(str, line.seeds)), "n": len(line.seeds)}
                record["flags"] = "; ".join(line.flags)
                for column, spread in line.spreads.items():
                    plain = column.replace("Δ", "gap_").replace("of means", "disparity_of_means")
                    plain = plain.replace(" ", "_").replace("-", "_")
                    if column in SINGLE:
                        record[plain] = spread.mean
                    else:
                        record |= {f"{plain}_mean": spread.mean, f"{plain}_std": spread.std}
                made.append(record)
    header = list(dict.fromkeys(column for record in made for column in record))
    return header, [[record.get(column) for column in header] for record in made]


def csv_text(groups: Iterable[Group]) -> str:
    """The records as CSV; a number that there is not is empty."""
    header, rows = records(groups)
    file = io.StringIO()
    csv.writer(file, lineterminator="\n").writerows([header, *rows])
    return file.getvalue()
