"""Draws the pictures and the page of a run: as the run ends, or again from the outputs that it kept."""

from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from dau_lightning.evaluation.outputs import read_outputs
from dau_lightning.report.figure import pictures
from dau_lightning.report.figure.attacks import attack_pictures
from dau_lightning.report.page import run_page
from dau_lightning.report.read import Run
from dau_lightning.report.rows import rows_of
from dau_lightning.report.section import sections
from dau_lightning.storage.atomic import atomic_write


def draw(result: Mapping[str, Any], folder: Path) -> dict[str, bytes]:
    """Draw the pictures of a finished run into `figures/` and write its `report.html`.

    Args:
        result: the content of its `result.json`.
        folder: of the run.

    Returns:
        The files in `figures/` by name, PNG and SVG; none where the run kept no outputs.

    Raises:
        InputError: the outputs cannot be read, or a file cannot be written.
    """
    run = Run(folder, result)
    rows, outputs = rows_of([run]), read_outputs(folder)
    drawn = [*attack_pictures(rows, "attacks"), *pictures(outputs)] if outputs else []
    (section,) = sections(rows)
    files = {name: content for picture in drawn for name, content in picture.files.items()}
    page = {folder / "report.html": run_page(run, section, drawn).encode()}
    write({folder / "figures" / name: content for name, content in files.items()} | page)
    return files


def write(files: Mapping[Path, bytes]) -> None:
    """Write all files or none: a file takes its place once all of them are on the disk.

    Raises:
        InputError: a file cannot be written.
    """
    for path in files:
        path.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as writing:
        for path, content in files.items():
            writing.enter_context(atomic_write(path)).write_bytes(content)
