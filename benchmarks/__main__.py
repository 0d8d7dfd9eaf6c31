"""Measure and print everything, or the sections named; the numbers also as JSON."""

import argparse
import json
import subprocess
import time
import warnings
from importlib import import_module
from pathlib import Path

import torch
from rich.console import Console

from dau_lightning.run.record import hardware

SECTIONS = [
    "start",
    "imports",
    "overhead",
    "game",
    "parts",
    "loader",
    "attacks",
    "gradients",
    "methods",
    "memory",
    "growth",
    "compiled",
    "peak",
    "cell",
    "audit",
]
FOLDER = Path(__file__).parent


def main() -> None:
    """The sections in their order."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("sections", nargs="*", choices=[[], *SECTIONS], help=f"of {', '.join(SECTIONS)}; by default all")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, default=Path("bench.json"))
    given = parser.parse_args()
    device, console, measured = torch.device(given.device), Console(), {}
    warnings.filterwarnings("ignore", module="lightning")
    for name in given.sections or SECTIONS:
        started = time.perf_counter()
        table = import_module(f"benchmarks.section.{name}").measure(device)
        if table.rows:
            table.print(console)
        measured[name] = {**vars(table), "took": time.perf_counter() - started}
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=FOLDER, capture_output=True, text=True, check=False
    ).stdout.strip()
    about = {"hardware": hardware(device), "commit": commit, "torch": torch.__version__, "date": time.strftime("%F")}
    given.output.write_text(json.dumps({**about, "sections": measured}, indent=1))
    console.print(f"measured on {about['hardware']}, torch {torch.__version__}; all of it is in {given.output}")


if __name__ == "__main__":
    main()
