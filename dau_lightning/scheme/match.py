"""Finds the training images that the entries of a list name: by position, by path, or by id."""

import os
import re
from collections.abc import Sequence

from dau_lightning.base.console import printable
from dau_lightning.base.error import InputError, require
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.names import WHOLE, Match, Names
from dau_lightning.scheme.positions import imagefolder_order

THOUSANDS = re.compile(r"[0-9]{1,3}([.,' ][0-9]{3})+")
SHOWN = 5  # entries in an error message


def match(entries: Sequence[str], train: Images, by: str | None, column: str | None, file: object) -> list[Match]:
    """Match every entry to its training image.

    Args:
        entries: at least one.
        train: the whole training set.
        by: `position`, `path`, or `id` (also a file name, with or without its extension, that one image has). None: entries
            are positions if all are whole numbers that cannot be names, otherwise paths.
        column: the kind of entries that the column's name promises, `position` or `id`; None if it promises nothing.
        file: the list, for errors.

    Raises:
        InputError: an entry names no image, or could name several.
    """
    names = Names(train)
    numbers = all(map(WHOLE.fullmatch, entries))
    if by is None and numbers and not any(entry in names.known for entry in entries):
        found, unknown = _by_position(entries, train)
        _refuse_names(entries, found, names, column, file)
    elif by == "position":
        wrong = [entry for entry in entries if not WHOLE.fullmatch(entry)]
        require(not wrong, f"{file}: scheme.by=position needs whole numbers from 0, got {', '.join(map(repr, wrong[:SHOWN]))}")
        found, unknown = _by_position(entries, train)
    else:
        placed = [names.find(entry, by == "id", file) for entry in dict.fromkeys(entries)]
        places = {each.entry: each for each in placed if each}
        found = [places[entry] for entry in entries if entry in places]
        unknown = list(dict.fromkeys(entry for entry in entries if entry not in places))
        numbers = False
    if unknown:
        some = ", ".join(repr(entry) for entry in unknown[:SHOWN]) + (", ..." if len(unknown) > SHOWN else "")
        id_or_position = f"an id such as {train.ids[0]!r}, or all by positions"
        wanted = f"a position from 0 to {len(train) - 1}" if numbers else id_or_position
        raise InputError(
            f"{file}: every entry must name a training image by {wanted}; "
            f"{len(unknown):,} of {len(set(entries)):,} do not: {some}{_hint(entries, unknown, names)}"
        )
    return found


def _by_position(entries: Sequence[str], train: Images) -> tuple[list[Match], list[str]]:
    places, note = imagefolder_order(train)
    if note:
        print(note)
    positions = [int(entry.partition(".")[0]) for entry in entries]
    pairs = [(entry, places[n] if n < len(places) else None) for entry, n in zip(entries, positions, strict=True)]
    unknown = dict.fromkeys(entry for entry, place in pairs if place is None)
    return [Match(entry, place, "position") for entry, place in pairs if place is not None], list(unknown)


def _refuse_names(entries: Sequence[str], found: Sequence[Match], names: Names, column: str | None, file: object) -> None:
    """Raise an error if numbers could be names, and then would be other images than those at these positions."""
    places = {match.entry: match.place for match in found}
    for entry in dict.fromkeys(entries if column != "position" else ()):
        number, place = entry.partition(".")[0], places.get(entry)
        position = "no position here" if place is None else f"position {number}, which is {names.shown(place)}"
        named = names.by_stem.get(number, []) + names.padded.get(number, [])
        if named != [place] and (named or column == "id"):
            name = f"a name, as of {' and '.join(map(names.shown, named[:2]))}" if named else "an id, which no image here has"
            raise InputError(f"{file}: {entry!r} can be {position}, or {name}: write scheme.by=position or scheme.by=id")
        if folder := names.folders.get(number):
            raise InputError(
                f"{file}: {entry!r} can be {position}, or the folder {printable(folder)}: write scheme.by=position, or the "
                "paths of the images in the folder"
            )


def _hint(entries: Sequence[str], unknown: Sequence[str], names: Names) -> str:
    if any(entry.startswith(("test/", "val/")) for entry in unknown):
        return " (images of test/ and val/ were never trained on)"
    if any(os.path.isabs(entry) for entry in unknown):
        return f" (write paths relative to dataset.root{f', {names.root}' if names.root else ''})"
    if any("\udc80" <= letter <= "\udcff" for entry in unknown for letter in entry):
        return " (the list is not in UTF-8, and letters beyond ASCII are lost: save it as UTF-8)"
    if unknown[0] in names.by_stem or unknown[0] in names.by_name:
        return " (scheme.by=id takes names of files without their folder)"
    if THOUSANDS.fullmatch(unknown[0]):
        return " (write whole numbers as digits alone, without a mark for thousands or decimals)"
    if re.search("[,;|]", unknown[0]):
        return " (a table must have the name .csv or .tsv)"
    if len(entries) > 1 and list(unknown) == [entries[0]]:
        return f" (if it is the header of the table, write scheme.column={unknown[0]!r})"
    return ""
