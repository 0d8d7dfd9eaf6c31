"""Distance to Retrain (section 4.1): a lower distance is better, while a higher UA or MIA by itself is not."""

from collections.abc import Mapping
from typing import Any

COMPARED = ("UA", "MIA", "RA", "TA")  # the columns whose distance to Retrain is averaged


def gaps(row: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    """Return `|row - reference|` of UA, MIA, RA and TA, each in percentage points."""
    return {column: abs(row[column] - reference[column]) for column in COMPARED}


def disparity(row: Mapping[str, float], reference: Mapping[str, float]) -> float:
    """Return the mean of the four gaps, in percentage points.

    >>> disparity({"UA": 5, "MIA": 10, "RA": 99, "TA": 94}, {"UA": 6, "MIA": 13, "RA": 100, "TA": 93})
    1.5
    """
    return sum(gaps(row, reference).values()) / len(COMPARED)


def time_ratio(row: Mapping[str, Any], reference: Mapping[str, Any]) -> dict[str, float]:
    """Return the run time divided by the reference's; empty if the two were not measured on the same hardware."""
    same = row.get("measured_on") == reference.get("measured_on")
    return {"time_ratio": row["seconds"] / reference["seconds"]} if same else {}
