"""The page of a run and that of a sweep: one HTML file that needs no other file and no network."""

import base64
import os
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from dau_lightning.report.columns import column
from dau_lightning.report.figure import Picture
from dau_lightning.report.read import Run
from dau_lightning.report.render import render
from dau_lightning.report.section import Section
from dau_lightning.report.text import headings

PIXELS = 1.5  # for a point: the 9 points of the pictures' letters become 13.5 pixels


def run_page(run: Run, section: Section, pictures: Sequence[Picture]) -> str:
    """The page of a finished run: its tables, warnings, pictures, settings and command."""
    about = {"run": run, "result": run.result, "command": run.result["command"], "runs": [], "left_out": []}
    return _html("run.html", run.settings.items(), pictures, sections=[section], **about)


def sweep_page(
    runs: Sequence[Run], sections: Sequence[Section], pictures: Sequence[Picture], command: str, path: Path, left_out: list[str]
) -> str:
    """The page of many runs.

    Args:
        runs: all of them.
        sections: their tables.
        pictures: Figure 2 for each dataset and network.
        command: what made the page.
        path: where the page will stand, for relative links to the pages of the runs.
        left_out: a line for each run without a result.
    """
    pages = [run.folder / "report.html" for run in runs]
    links = [Path(os.path.relpath(page, path.parent)).as_posix() if page.is_file() else "" for page in pages]
    shared = set.intersection(*(set(run.settings.items()) for run in runs))
    about = {"runs": list(zip(runs, links, strict=True)), "command": command, "left_out": left_out}
    return _html("sweep.html", shared, pictures, sections=sections, **about)


def _html(template: str, settings: Iterable[tuple[str, str]], pictures: Iterable[Picture], **values: Any) -> str:
    groups: dict[str, dict[str, str]] = {}
    for name, value in sorted(settings, key=lambda setting: ("." in setting[0], setting[0])):  # those without a group first
        groups.setdefault(name.partition(".")[0] if "." in name else "", {})[name] = value
    functions = {"headings": headings, "column": column, "zip": zip}
    values |= {"settings": groups, "pictures": list(map(_embedded, pictures)), "version": version("dau-lightning")}
    return render(template, **functions, **values)


def _embedded(picture: Picture) -> dict[str, Any]:
    """A picture as SVG inside the page, which is sharp at every size; its letters are as large as those of the page."""
    (svg,) = (content for name, content in picture.files.items() if name.endswith(".svg"))
    points = float(ElementTree.fromstring(svg).attrib["width"].removesuffix("pt"))
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return {"name": picture.name, "caption": picture.caption, "source": source, "width": round(points * PIXELS)}
