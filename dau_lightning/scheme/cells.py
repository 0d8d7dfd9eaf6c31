"""What the text of a cell is: a number, a rounded number, a date, true or false."""

import re
from datetime import datetime
from decimal import Decimal

# 007 is a code
NUMBER = re.compile(r"[+-]?(0|[1-9][0-9]{0,39})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,3})?")
SCIENTIFIC = re.compile(r"[+-]?[0-9]+(?:\.([0-9]+))?[eE]\+?([0-9]+)")
FRACTION = re.compile(r"[eE]|\.0+$")
DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}([T ][0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]{1,6})?)?(Z|[+-][0-9]{2}:[0-9]{2})?)?")
NO_UTF_8 = re.compile("[\udc80-\udcff]")  # what is left of letters in a Windows code page
TRUTH = {"true": True, "false": False}


def is_rounded(text: str) -> bool:
    """Whether a whole number may have lost digits.

    A spreadsheet or `%g` cuts one of 7 digits or more, as in 1.23457E+18; a binary fraction, as pandas makes one if a cell
    is empty, holds none above 2^53 exactly.
    """
    found = SCIENTIFIC.fullmatch(text)
    cut = found and max(len(found[1] or ""), 5) < int(found[2])
    return bool(cut or (FRACTION.search(text) and abs(Decimal(text)) >= 2**53))


def is_date(text: str) -> bool:
    """Whether the text is an ISO date that exists, such as 2024-01-31, perhaps with a time."""
    try:
        return bool(DATE.fullmatch(text) and datetime.fromisoformat(text))
    except ValueError:
        return False
