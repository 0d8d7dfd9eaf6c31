"""The command line of reports: tables of runs over seeds, and Figure 2."""

import argparse
import io
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rich.console import Console

from dau_lightning.base.error import InputError, one_line
from dau_lightning.report.draw import draw, sweep_page
from dau_lightning.report.group import groups
from dau_lightning.report.latex import latex
from dau_lightning.report.read import read, unfinished
from dau_lightning.report.record import csv_text
from dau_lightning.report.rows import Group
from dau_lightning.report.table import markdown
from dau_lightning.report.terminal import print_groups
from dau_lightning.report.write import write

FORMATS: dict[str, Callable[[Sequence[Group]], str]] = {"markdown": markdown, "csv": csv_text, "latex": latex}


def main(arguments: Sequence[str] | None = None) -> None:
    """Everything is made before anything is written, and every file is written in one step.

    Raises:
        InputError: something given cannot be used.
    """
    parser = argparse.ArgumentParser(prog="python -m dau_lightning.report", description="Mean and spread over seeds.")
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help="searched for finished runs")
    parser.add_argument("--format", choices=["terminal", *FORMATS], default="terminal", help="of the tables; csv is unrounded")
    parser.add_argument("--output", type=Path, metavar="FILE", help="gets the tables instead of the terminal")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="gets Figure 2 (four attacks), PNG and SVG")
    parser.add_argument("--html", type=Path, metavar="FILE", help="gets a page of the tables and Figure 2, all in one file")
    parser.add_argument("--redraw", action="store_true", help="draw the pictures and the page of every run again")
    parser.add_argument("--seeds", metavar="0,1,2", help="only these; every row must have all of them")
    parser.add_argument("--wandb", action="store_true", help="log table and figures to Weights & Biases as well")
    options = parser.parse_args(arguments)

    runs = read(options.folders)
    left_out = unfinished(options.folders)
    made = groups(runs, options.seeds and _seeds(options.seeds))
    files: dict[Path, bytes] = {}
    pictures: dict[str, bytes] = {}
    if options.figures or options.wandb or options.html:
        from dau_lightning.report.figure.attacks import ATTACKS, figures

        pictures = figures(made)
        if options.figures and not pictures:
            raise InputError(f"--figures needs runs with metric=[{','.join(ATTACKS)}], there is none")
    if options.figures:
        files |= {options.figures / name: content for name, content in pictures.items()}
    if options.redraw:
        for run in runs:
            draw(run.result, run.folder)
            print(f"written: {run.folder / 'report.html'}", file=sys.stderr)
    if options.html:
        command = shlex.join(["python", "-m", "dau_lightning.report", *(sys.argv[1:] if arguments is None else arguments)])
        files[options.html] = sweep_page(runs, made, pictures, command, options.html, left_out)
    text = FORMATS[options.format](made) if options.format in FORMATS else ""
    if options.output:
        files[options.output] = (text or _plain(made)).encode()
    write(files)
    if text and not options.output:
        print(text, end="")
    elif not options.output:
        print_groups(made, Console())
    for said in [*left_out, *(f"written: {path}" for path in files)]:
        print(said, file=sys.stderr)
    if options.wandb:
        from dau_lightning.report.upload import upload

        upload(made, pictures, options.folders[0], runs[0].result["settings"]["wandb"]["project"])


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError as error:
        raise InputError(f"--seeds must be integers such as 0,1,2, got {text!r}") from error


def _plain(made: Sequence[Group]) -> str:
    console = Console(file=io.StringIO())
    print_groups(made, console)
    return console.file.getvalue()  # pyright: ignore[reportAttributeAccessIssue]


if __name__ == "__main__":
    with one_line():
        main()
