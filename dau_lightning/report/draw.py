"""The pictures and the page of runs: drawn as a run ends, or again from its evidence."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dau_lightning.evaluation.outputs import read_outputs
from dau_lightning.report.figure.attacks import figures, file_name
from dau_lightning.report.group import groups
from dau_lightning.report.page import Image, Page, Section, flags, grouped, html, image, section
from dau_lightning.report.read import Run
from dau_lightning.report.rows import Group
from dau_lightning.report.write import write

ATTACKS = "How many forgotten images each attack calls nonmember. A bar should end where Retrain's does."


def draw(result: Mapping[str, Any], folder: Path) -> dict[str, bytes]:
    """Draw the pictures of a finished run into `figures/` and write its `report.html`.

    Args:
        result: the content of its `result.json`.
        folder: of the run.

    Returns:
        The files in `figures/` by name, PNG and SVG; none for a run that kept no evidence.

    Raises:
        InputError: the evidence cannot be read, or a file not be written.
    """
    run, pictures = Run(folder, result), dict[str, bytes]()
    (group,) = groups([run])
    images: list[Image] = []
    if (evidence := read_outputs(folder)) is not None:
        from dau_lightning.report.figure import pictures as drawn

        attacks = {f"attacks.{name.rsplit('.', 1)[1]}": content for name, content in figures([group]).items()}
        images += [image("attacks", ATTACKS, attacks)] if attacks else []
        pictures |= attacks
        for picture in drawn(evidence):
            images.append(image(picture.name, picture.caption, picture.files))
            pictures |= picture.files
    page = Page(
        title=run_title(run),
        command=result.get("command", ""),
        facts=_facts(result),
        flags=flags([run]),
        sections=[section(group, name="Numbers", warn=False), *([Section("Pictures", images=images)] if images else [])],
        settings=grouped(run.flat.items()),
    )
    files = {folder / "figures" / name: content for name, content in pictures.items()}
    write(files | {folder / "report.html": html(page).encode()})
    return pictures


def sweep_page(
    runs: Sequence[Run],
    made: Sequence[Group],
    images: Mapping[str, bytes],
    command: str,
    path: Path,
    left_out: Sequence[str] = (),
) -> bytes:
    """A page of many runs.

    Args:
        runs: all of them.
        made: their groups.
        images: Figure 2 by file name.
        command: that makes the page.
        path: where it will stand, for links to the pages of the runs.
        left_out: what is said of runs without a result.
    """
    sections, shown = [], set[str]()
    for group in made:
        name = file_name(*group.names[:2])  # one for all schemes
        files = {file: content for file, content in images.items() if Path(file).stem == name and name not in shown}
        sections.append(section(group, [image(name, ATTACKS, files)] if files and not group.selection else []))
        shown |= {name} if files else set()
    shared = set.intersection(*(set(run.flat.items()) for run in runs))
    page = Page(
        title="Unlearning runs",
        command=command,
        facts={"runs": str(len(runs)), "seeds": ", ".join(map(str, sorted({run.seed for run in runs})))},
        flags=[*flags(runs), *left_out],
        sections=sections,
        settings=grouped(shared),
        runs=[_linked(run, path) for run in runs],
    )
    return html(page).encode()


def run_title(run: Run) -> str:
    """What a run is, in a line."""
    result = run.result
    method = result["rows"][run.baseline]["label"]
    return f"{method} on {', '.join([*run.names, run.sparsity])}, seed {run.seed}"


def _facts(result: Mapping[str, Any]) -> dict[str, str]:
    """What identifies a run and its numbers."""
    counts, hardware = result.get("counts", {}), result["hardware"]
    facts = {
        "forgotten": f"{counts.get('forget', 0):,} of {counts.get('train', 0):,} training images",
        "forgotten classes": ", ".join(result["forgotten_classes"]),
        "validation images": f"{counts.get('val', 0):,}",
        "test images": f"{counts.get('test_retain', 0):,} of retained, {counts.get('test_forget', 0):,} of forgotten classes",
        "measured on": f"{hardware['device']} ({hardware['name']}), {hardware['threads']} threads",
        "data hash": result.get("data_hash", ""),
        "split hash": result["split_hash"],
        "versions": ", ".join(f"{name} {number}" for name, number in result.get("versions", {}).items()),
    }
    return {name: text for name, text in facts.items() if text}


def _linked(run: Run, page: Path) -> tuple[str, str, str]:
    """Name, link and command of a run."""
    own = run.folder / "report.html"
    link = Path(os.path.relpath(own, page.parent)).as_posix() if own.is_file() else ""
    return run_title(run), link, run.result.get("command", "")
