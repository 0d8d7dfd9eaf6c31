"""Distance to Retrain (section 4.1): a lower distance is better, while a higher UA or MIA by itself is not."""

from collections.abc import Mapping
from typing import Any

COLUMNS = ("UA", "MIA", "RA", "TA")


def gaps(row: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    """`|row - reference|` of UA, MIA, RA and TA, each in percentage points."""
    return {column: abs(row[column] - reference[column]) for column in COLUMNS}


def disparity(row: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """The mean of the four gaps, in percentage points.

    >>> disparity({"UA": 5, "MIA": 10, "RA": 99, "TA": 94}, {"UA": 6, "MIA": 13, "RA": 100, "TA": 93})
    1.5
    """
    return sum(gaps(row, reference).values()) / len(COLUMNS)


def time_ratio(row: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """The run time divided by the reference's; empty if the two were not measured on the same hardware."""
    same = row.get("measured_on") == reference.get("measured_on")
    return {"time_ratio": row["seconds"] / reference["seconds"]} if same else {}
