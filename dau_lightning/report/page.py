"""The page of a run and the page of a sweep: each is one HTML file that needs no other file and no network.

A run writes its page and pictures as it ends. They can be made again from the outputs that it kept.
"""

import base64
import os
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pandas as pd

from dau_lightning.evaluation.checks import failure
from dau_lightning.evaluation.outputs import read_outputs
from dau_lightning.report.columns import column
from dau_lightning.report.figure import Picture, pictures
from dau_lightning.report.figure.attacks import attack_pictures
from dau_lightning.report.figure.exposure import exposure_pictures
from dau_lightning.report.figure.verdicts import verdict_pictures
from dau_lightning.report.papers import papers_of
from dau_lightning.report.read import Run
from dau_lightning.report.render import render
from dau_lightning.report.rows import rows_of
from dau_lightning.report.section import Section, sections
from dau_lightning.report.text import headings
from dau_lightning.storage.atomic import write_all
from dau_lightning.storage.audit_file import figures, scores_of

PIXELS_PER_POINT = 1.5  # the letters of the pictures, 9 points high, become 13.5 pixels


def write_run_page(result: Mapping[str, Any], folder: Path) -> dict[str, bytes]:
    """Draw the pictures of a finished run into `figures/` and write its `report.html`.

    Args:
        result: the content of its `result.json`.
        folder: the run folder.

    Returns:
        The files in `figures/` by name, PNG and SVG; empty if the run kept no outputs and was not audited.

    Raises:
        InputError: the outputs cannot be read, or a file cannot be written.
    """
    run = Run(folder, result)
    rows, outputs = rows_of([run]), read_outputs(folder)
    drawn = [*attack_pictures(rows, "attacks"), *pictures(outputs)] if outputs else []
    drawn += verdict_pictures((run.audit or {}).get("tests", {}))
    drawn += exposure_pictures(scores_of(folder), result.get("class_names", []))
    files = {name: content for picture in drawn for name, content in picture.files.items()}
    about = {"run": run, "result": result, "command": result["command"], "runs": [], "left_out": []}
    page = _html("run.html", run.settings.items(), drawn, sections=sections(rows), **about)
    write_all({folder / "figures" / name: content for name, content in files.items()} | {folder / "report.html": page.encode()})
    return files


def sweep_page(
    runs: Sequence[Run],
    rows: pd.DataFrame,
    shown: Sequence[Section],
    drawn: Sequence[Picture],
    command: str,
    path: Path,
    left_out: list[str],
) -> str:
    """Return the page of many runs.

    Args:
        runs: all of them; empty if the rows come from a file.
        rows: of all runs.
        shown: their tables.
        drawn: Figure 2 and the costs, for each dataset and network.
        command: what made the page.
        path: where the page will stand, for relative links to the pages of the runs.
        left_out: a line for each run without a result.
    """
    pages = [run.folder / "report.html" for run in runs]
    links = [Path(os.path.relpath(page, path.parent)).as_posix() if page.is_file() else "" for page in pages]
    settings = [set(run.settings.items()) for run in runs]
    shared = set[tuple[str, str]].intersection(*settings) if settings else set[tuple[str, str]]()
    about = {"runs": list(zip(runs, links, strict=True)), "rows": rows, "command": command, "left_out": left_out}
    about |= {"papers": papers_of(rows), "method_settings": settings_of(rows)}
    return _html("sweep.html", shared, drawn, sections=shown, **about)


def settings_of(rows: pd.DataFrame) -> dict[str, dict[str, str]]:
    """For each method and cell (`random, dense`), its settings in a line, where they are known; all seeds have the same."""
    known = rows.loc[rows.settings.map(bool)].drop_duplicates(["dataset", "network", "scheme", "sparsity", "method"])
    found: dict[str, dict[str, str]] = {}
    varied = [name for name in ("dataset", "network", "scheme", "sparsity") if known[name].nunique() > 1]
    for row in known.itertuples():
        place = ", ".join(getattr(row, name) for name in varied)
        found.setdefault(row.method, {})[place] = ", ".join(f"{name}={value}" for name, value in row.settings.items())
    return found


def _html(template: str, settings: Iterable[tuple[str, str]], drawn: Iterable[Picture], **values: Any) -> str:
    groups: dict[str, dict[str, str]] = {}
    for name, value in sorted(settings, key=lambda setting: ("." in setting[0], setting[0])):  # those without a group first
        groups.setdefault(name.partition(".")[0] if "." in name else "", {})[name] = value
    functions = {"headings": headings, "column": column, "failure": failure, "figures": figures, "zip": zip}
    values |= {"settings": groups, "pictures": list(map(_embedded, drawn)), "version": version("dau-lightning")}
    return render(template, **functions, **values)


def _embedded(picture: Picture) -> dict[str, Any]:
    """Embed a picture as SVG, which is sharp at every size; its letters are as large as those of the page."""
    (svg,) = (content for name, content in picture.files.items() if name.endswith(".svg"))
    points = float(ElementTree.fromstring(svg).attrib["width"].removesuffix("pt"))
    source = f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
    return {"name": picture.name, "caption": picture.caption, "source": source, "width": round(points * PIXELS_PER_POINT)}
