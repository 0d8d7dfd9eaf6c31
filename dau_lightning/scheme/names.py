"""The names of the training images, and what people write in their place."""

import os
import re
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import PurePosixPath
from typing import NamedTuple

from dau_lightning.base.console import printable
from dau_lightning.base.error import InputError
from dau_lightning.dataset.images import Images
from dau_lightning.scheme.spelling import FORMS, forms_of, full_path, is_inside, readings

# pandas writes whole numbers as 3.0 if a cell of the column is empty; 3.000 can be a German 3,000
WHOLE = re.compile(r"(0|[1-9][0-9]{0,17})(\.(?!000$)0+)?")


class Match(NamedTuple):
    """An entry of a list, the place of its image in the training set, and how they were matched."""

    entry: str
    place: int
    how: str


class Names:
    """The names of the training images, and what people write in their place."""

    def __init__(self, train: Images) -> None:
        self.ids, self.root = train.ids, train.root
        self.roots = forms_of(str(train.root)) if train.root else []
        self.inside = is_inside(self.roots)
        self.known = {name: place for place, name in enumerate(train.ids)}
        self.tables: dict[str, Mapping[str, list[int]]] = {}

    def shown(self, place: int) -> str:
        """The id at a place, for a message."""
        return printable(self.ids[place])

    @cached_property
    def by_stem(self) -> Mapping[str, list[int]]:
        """Places by file name without extension."""
        return _grouped(self.ids, lambda name: PurePosixPath(name).stem)

    @cached_property
    def by_name(self) -> Mapping[str, list[int]]:
        """Places by file name."""
        return _grouped(self.ids, lambda name: PurePosixPath(name).name)

    @cached_property
    def padded(self) -> Mapping[str, list[int]]:
        """Places of files whose names are numbers with zeros in front, by what a spreadsheet leaves of them."""
        found = defaultdict[str, list[int]](list)
        for stem, places in self.by_stem.items() if self.root else ():
            number = stem.lstrip("0") or "0"
            if stem != number and number.isdecimal():
                found[number] += places
        return found

    @cached_property
    def folders(self) -> Mapping[str, str]:
        """Folders below train/ whose names are numbers, by the number without zeros in front."""
        found: dict[str, str] = {}
        for folder in dict.fromkeys(name.rpartition("/")[0] for name in self.ids):
            parts = folder.split("/")
            for depth, part in enumerate(parts):
                if depth and part.isdecimal():
                    found.setdefault(part.lstrip("0") or "0", "/".join(parts[: depth + 1]))
        return found

    def find(self, entry: str, by_id: bool, file: object) -> Match | None:
        """The match of an entry that is an id or a path in any spelling; with `by_id`, also the name of one file.

        Raises:
            InputError: the entry could name several images, or is the path of another file from the current folder.
        """
        found = self._found(entry, by_id, file)
        if found and self.inside and os.path.isfile(full := full_path(entry)):
            image = os.path.join(self.roots[0][0], self.ids[found.place])
            if not (os.path.exists(image) and os.path.samefile(full, image)):
                raise InputError(
                    f"{file}: {entry!r} can be {self.shown(found.place)}, or {full} from the current folder: begin the path "
                    "with train/, or run from outside of dataset.root"
                )
        return found

    def _found(self, entry: str, by_id: bool, file: object) -> Match | None:
        if entry in self.known:
            return Match(entry, self.known[entry], "id")
        number = WHOLE.fullmatch(entry)
        spelled = list(readings(entry, self.roots))[::-1]  # of two readings that name the same image, the first is told
        for form, spelling in FORMS.items():
            if form not in self.tables:
                self.tables[form] = _grouped(self.ids, spelling)
            places = {place: said + form for path, said in spelled for place in self.tables[form].get(spelling(path), ())}
            if by_id and not places:
                name = number[1] if number else entry
                named = self.by_stem.get(name, []) + self.padded.get(name, []) or self.by_name.get(name, [])
                places = dict.fromkeys(named, "file name")
            if len(places) > 1:
                some = " and ".join(map(self.shown, list(places)[:2]))
                raise InputError(f"{file}: {entry!r} must name one training image, it can be {some}: write more of the path")
            for place, how in places.items():
                return Match(entry, place, how)
        return None

    def some(self, cells: Sequence[str], numbers: bool) -> bool:
        """Whether one of the first thousand different cells names an image; `numbers`: whether a number can be a name."""
        told = dict.fromkeys(cell for cell in cells if cell and (numbers or not WHOLE.fullmatch(cell)))
        for cell in list(told)[:1000]:
            with suppress(InputError):  # it names two
                if not self.find(cell, True, ""):
                    continue
            return True
        return False

    def in_header(self, header: Sequence[str]) -> str | None:
        """The first cell that is the id, the path or the file name of an image; a name of a column has no `/` or `.`."""
        for cell in header:
            if cell in self.known:
                return cell
            if re.search(r"[/\\.]", cell):
                with suppress(InputError):  # it names two
                    if cell not in self.by_name and not self.find(cell, False, ""):
                        continue
                return cell
        return None


def _grouped(names: Sequence[str], key: Callable[[str], str]) -> Mapping[str, list[int]]:
    """The places of names by a key."""
    found = defaultdict[str, list[int]](list)
    for place, name in enumerate(names):
        found[key(name)].append(place)
    return found
