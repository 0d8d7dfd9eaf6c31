"""A page of a run or of a sweep: one HTML file with everything in it, made from `template/`."""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import groupby
from typing import Any
from xml.etree import ElementTree

from dau_lightning.evaluation.checks import all_warnings
from dau_lightning.report.rows import Group, Spread
from dau_lightning.report.table import Block, block, blocks, notes, title

PIXELS = 1.5  # of a point: the pictures' 9 are then 13.5
WORDS = {"True": "true", "False": "false", "None": "null"}  # as one types them

# What the headings of the tables mean, shown at the foot of the window while the pointer or the keyboard rests on one.
MEANINGS = {
    "UA": "100 - accuracy on the forget set, percent",
    "MIA": "share of the forget set that the attack calls nonmember, percent",
    "RA": "accuracy on the retain set, percent",
    "TA": "accuracy on test images of retained classes, percent",
    "TA_forgotten": "accuracy on test images of the forgotten class, percent",
    "disparity": "mean distance to Retrain over UA, MIA, RA and TA; lower is better",
    "of means": "disparity of the means over seeds",
    "seconds": "run time of the method, evaluation and pictures not counted",
    "time_ratio": "run time over Retrain's",
    "speed-up": "Retrain's run time over that of the method",
    "zeros": "convolution weights that are zero, percent",
    "judge_error": "error on validation images that only judge, percent",
    "judge_MIA": "share of validation images that the attack calls nonmember, percent",
    "score": "selection score: distance to images never seen and loss of accuracy; lower is better",
}


@dataclass(frozen=True)
class Cell:
    """A number as it is printed and as it is sorted."""

    text: str
    value: float | None


@dataclass(frozen=True)
class Table:
    """Headings with what they mean, and rows."""

    name: str
    headings: list[tuple[str, str]]
    rows: list[tuple[str, list[Cell]]]


@dataclass(frozen=True)
class Image:
    """A picture inside the page; its width is in pixels, at which its letters are as large as the page's."""

    name: str
    caption: str
    source: str
    width: int


@dataclass(frozen=True)
class Section:
    """What belongs under one heading."""

    name: str
    tables: list[Table] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    images: list[Image] = field(default_factory=list)


@dataclass(frozen=True)
class Page:
    """What a page says.

    Attributes:
        title: in the head.
        command: that made it.
        facts: names and texts, such as the hardware.
        flags: warnings.
        sections: in their order.
        settings: dotted names and values by group.
        runs: of a sweep: name, link (empty where there is no page) and command.
    """

    title: str
    command: str
    facts: dict[str, str]
    flags: list[str]
    sections: list[Section]
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    runs: list[tuple[str, str, str]] = field(default_factory=list)


def html(page: Page) -> str:
    """The page as one file that needs no other and no network."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    loader = PackageLoader("dau_lightning.report", "template")
    environment = Environment(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("page.html").render(page=page, version=version("dau-lightning"))


def tables(group: Group) -> list[Table]:
    """The tables of a group, attacks too."""
    single = len(next(iter(next(iter(group.cells.values())).values())).seeds) == 1
    spreads = (line.spreads for lines in group.cells.values() for line in lines.values())
    attacks = dict.fromkeys(column for each in spreads for column in each if column.startswith("attack "))
    made = {f"numbers {place}": each for place, each in enumerate(blocks(group), 1)}
    made |= {} if group.selection else {"MIA-efficacy of the attacks, percent": block(group, [*attacks])}
    without = ("of means",) if single else ()
    return [_table(name, each, without) for name, each in made.items() if each.columns]


def section(group: Group, images: Sequence[Image] = (), name: str = "", warn: bool = True) -> Section:
    """Tables, notes (with or without warnings) and pictures of a group, under its title or another name."""
    return Section(name or title(group), tables(group), notes(group, warn), list(images))


def image(name: str, caption: str, files: Mapping[str, bytes]) -> Image:
    """A picture from its SVG among some files: sharp at every size."""
    (content,) = (content for path, content in files.items() if path.endswith(".svg"))
    points = float(ElementTree.fromstring(content).attrib["width"].removesuffix("pt"))
    source = f"data:image/svg+xml;base64,{base64.b64encode(content).decode()}"
    return Image(name, caption, source, round(points * PIXELS))


def grouped(settings: Iterable[tuple[str, str]]) -> dict[str, dict[str, str]]:
    """Dotted names by their first part; those without one first."""
    worded = [(name, WORDS.get(value, value)) for name, value in settings]
    named = sorted(worded, key=lambda pair: ("." in pair[0], pair[0]))
    return {
        group: dict(pairs) for group, pairs in groupby(named, key=lambda pair: pair[0].split(".")[0] if "." in pair[0] else "")
    }


def flags(runs: Iterable[Any]) -> list[str]:
    """The warnings and flags of all runs, each once, with whom they are about."""
    found: dict[tuple[str, str], list[int]] = {}
    for run in runs:
        for about in all_warnings(run.result):
            found.setdefault(about, []).append(run.seed)
    named = {about: f"seed {', '.join(map(str, sorted(set(seeds))))}" for about, seeds in found.items()}
    return [f"{', '.join(filter(None, [label, seeds]))}: {doubt}" for (label, doubt), seeds in named.items()]


def _table(name: str, made: Block, without: Sequence[str]) -> Table:
    kept = [index for index, (heading, _) in enumerate(made.columns) if heading not in without]
    headings = [
        (" ".join(filter(None, made.columns[index])).removeprefix("attack "), _meaning(made.columns[index][0]))
        for index in kept
    ]
    rows = [
        (name, [Cell(texts[index], _value(spreads[index])) for index in kept])
        for (name, texts), (_, spreads) in zip(made.texts, made.rows, strict=True)
    ]
    return Table(name, headings, rows)


def _meaning(heading: str) -> str:
    if heading.startswith("Δ"):
        return f"distance of {heading[1:]} to Retrain's, percentage points"
    if heading.startswith("attack "):
        return "share of the forget set that this attack calls nonmember, percent"
    return MEANINGS.get(heading, "")


def _value(spread: Spread | None) -> float | None:
    return None if spread is None else spread.mean
