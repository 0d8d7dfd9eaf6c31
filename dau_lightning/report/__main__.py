"""The command line of reports: tables of runs over seeds, Figure 2, and what each method costs."""

import argparse
import io
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
from rich.console import Console

from dau_lightning.base.error import InputError, one_line, require
from dau_lightning.report.comparable import lacking_methods
from dau_lightning.report.figure.attacks import ATTACKS, attack_pictures
from dau_lightning.report.figure.cost import cost_pictures
from dau_lightning.report.page import sweep_page, write_run_page
from dau_lightning.report.published import beside, paper_rows
from dau_lightning.report.read import Run, read, unfinished
from dau_lightning.report.rows import records_of, table_of
from dau_lightning.report.rows_file import read_rows, row_files, written
from dau_lightning.report.section import Section, sections
from dau_lightning.report.summary import csv, summary
from dau_lightning.report.terminal import print_sections
from dau_lightning.report.text import latex, markdown
from dau_lightning.storage.atomic import write_all

PROGRAM = "python -m dau_lightning.report"


def main(arguments: Sequence[str] | None = None) -> None:
    """Make everything before anything is written, and write all files or none.

    Raises:
        InputError: an argument, a run or a file cannot be used.
    """
    arguments = sys.argv[1:] if arguments is None else arguments
    options = _parser().parse_args(arguments)
    runs, left_out, rows = _rows(options)
    shown = sections(rows)
    text = _text(options.format, rows, shown, plain=bool(options.output))
    pictures = attack_pictures(rows) + cost_pictures(rows) if options.figures or options.wandb or options.html else []
    needed = f"a method beside a Retrain, or metric=[{','.join(ATTACKS)}]"
    require(bool(pictures) or not options.figures, f"--figures needs runs with {needed}, there is none")
    drawn = {name: content for each in pictures for name, content in each.files.items()}
    files: dict[Path, bytes] = {options.output: text.encode()} if options.output else {}
    if options.figures:
        files |= {options.figures / name: content for name, content in drawn.items()}
    if options.html:
        page = sweep_page(runs, rows, shown, pictures, f"{PROGRAM} {shlex.join(arguments)}", options.html, left_out)
        files[options.html] = page.encode()
    if options.redraw:
        for run in runs:
            write_run_page(run.result, run.folder)
            print(f"written: {run.folder / 'report.html'}", file=sys.stderr)
    write_all(files)
    print("" if options.output else text, end="")
    for line in [*left_out, *(f"written: {path}" for path in files)]:
        print(line, file=sys.stderr)
    if options.wandb:
        _upload(rows, drawn, options.folders[0], runs[0].result["settings"]["wandb"]["project"])


def _rows(options: argparse.Namespace) -> tuple[list[Run], list[str], pd.DataFrame]:
    """Finished runs; lines about unfinished ones and missing rows; the rows of runs and files together."""
    files = {path: row_files(path) for path in options.folders}
    folders = [path for path, found in files.items() if not found]
    each = {file.resolve(): file for found in files.values() for file in found}.values()
    require(not options.paper or options.format != "rows", "--paper is for tables: a file of rows holds measured numbers alone")
    require(not each or not (options.redraw or options.wandb), "--redraw and --wandb need the folders of runs, and no files")
    runs = read(folders)
    rows = pd.concat([*([records_of(runs)] if runs else []), *map(read_rows, each)], ignore_index=True)
    rows = table_of(rows, _seeds(options.seeds) if options.seeds else None)
    rows = beside(rows, options.paper) if options.paper else rows
    return runs, [*unfinished(folders), *lacking_methods(rows)], rows


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Means and deviations over seeds, methods beside Retrain.")
    paths = "searched for finished runs; or a file of rows, FILE.csv, or a folder of such files; as many as you like"
    parser.add_argument("folders", nargs="+", type=Path, metavar="FOLDER", help=paths)
    formats = ["terminal", "markdown", "csv", "latex", "rows"]
    meaning = "of the tables; csv: means, unrounded; rows: a file of every row of every run, which makes the same tables"
    parser.add_argument("--format", choices=formats, default="terminal", help=meaning)
    parser.add_argument("--output", type=Path, metavar="FILE", help="write the tables to a file instead of the terminal")
    parser.add_argument("--figures", type=Path, metavar="FOLDER", help="write Figure 2 and cost against distance, PNG and SVG")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of tables and figures, all in one file")
    parser.add_argument("--redraw", action="store_true", help="draw the pictures and the page of every run again")
    parser.add_argument("--seeds", metavar="0,1,2", help="only these; every row must have all of them")
    of_paper = "the paper's numbers on this data set, also beside rows of other data sets, networks and settings"
    parser.add_argument("--paper", choices=sorted({*paper_rows().dataset}), help=of_paper)
    parser.add_argument("--wandb", action="store_true", help="log the table and these figures to Weights & Biases as well")
    return parser


def _seeds(text: str) -> list[int]:
    try:
        return [int(seed) for seed in text.split(",")]
    except ValueError as error:
        raise InputError(f"--seeds must be integers such as 0,1,2, got {text!r}") from error


def _text(style: str, rows: pd.DataFrame, shown: Sequence[Section], plain: bool) -> str:
    if style in ("csv", "rows"):
        return {"csv": csv, "rows": written}[style](rows)
    if style != "terminal":
        return {"markdown": markdown, "latex": latex}[style](shown)
    console = Console(file=io.StringIO()) if plain else Console()
    with console.capture() as captured:
        print_sections(shown, console)
    return captured.get()


def _upload(rows: pd.DataFrame, pictures: Mapping[str, bytes], folder: Path, project: str) -> None:
    """Log the summary as one table, and Figure 2 as images, in a run of Weights & Biases of their own."""
    import wandb

    from dau_lightning.tracking.wandb import loggers, send
    from dau_lightning.tracking.wandb_summary import images

    records = summary(rows)
    with loggers(folder, "auto", project, "report", {"rows": len(records)}) as made:
        send(made, lambda run: run.log({"report": wandb.Table(dataframe=records), **images(pictures)}))


if __name__ == "__main__":
    with one_line():
        main()
