"""The command `python -m dau_lightning.audit`."""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dau_lightning.base.error import InputError, expected, line, one_line, require

if TYPE_CHECKING:
    from dau_lightning.audit.further_models import Further

USAGE = """Audit finished runs: what attacks of today still find in the unlearned model, beside Retrain and the original.

  python -m dau_lightning.audit RUN...                 tests that need no further models
  python -m dau_lightning.audit RUN... references=4    all tests
RUN is a run folder, or a folder with runs in it. Findings go into audit.json, report.html and the model card of each run.
  references=0     reference models to train into the store, 1 to 4; half an original's time each, once for all runs of a split
  retrains=4       further Retrains, which show the noise of training; 0 by default without references
  shadows=16       shadow models, 0 or an even number from 8; used with references; two originals' time and an unlearning each
  minutes=M        of each run, after which nothing further begins; the same command goes on
  jobs=1           audits at a time, each with its share of the cores
  slurm.NAME=V     runs each audit as a Slurm job, jobs=N at a time, such as slurm.timeout_min=120 slurm.partition=gpu
  TEST.SETTING=V   a setting of a test, see conf/audit/TEST.yaml"""

RETRAINS = 4  # by default, with references
SLURM = "slurm."  # of settings of Slurm jobs
OWN = {"references": "0", "retrains": "", "shadows": "16", "minutes": "", "jobs": "1"}


def main(arguments: Sequence[str] | None = None) -> None:
    """Audit every run and print its table.

    Raises:
        InputError: an argument or a run cannot be used.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if {"-h", "--help"} & set(given) or not given:
        print(USAGE)
        return
    settings = [each for each in given if "=" in each and not Path(each).exists()]
    folders = [Path(each) for each in given if each not in settings]
    own = OWN | {name: value for name, _, value in (setting.partition("=") for setting in settings) if name in OWN}
    references, shadows, jobs = (_count(name, own[name]) for name in ("references", "shadows", "jobs"))
    retrains = _count("retrains", own["retrains"]) if own["retrains"] else RETRAINS if references else 0
    require(references <= 4, f"references must be at most 4, got {references}")
    require(jobs >= 1, "jobs must be at least 1")
    require(bool(folders), "name the folder of a finished run")

    from dau_lightning.audit.further_models import Further  # imports torch, so after the checks above
    from dau_lightning.audit.plan import planned
    from dau_lightning.audit.shadows import FEWEST_SHADOWS
    from dau_lightning.report.read import read, unfinished

    require(
        shadows == 0 or (shadows >= FEWEST_SHADOWS and shadows % 2 == 0),
        f"shadows must be 0 or an even number from {FEWEST_SHADOWS}, each image is in half of them; got {shadows}",
    )
    minutes, slurm = _minutes(own["minutes"]), _slurm(settings)
    tests = [each for each in settings if each.partition("=")[0] not in OWN and not each.startswith(SLURM)]
    planned(tests)  # refuses a wrong setting once, not once for each run
    runs = [run.folder for run in read(folders)]
    print("".join(f"{each}\n" for each in unfinished(folders)), end="", file=sys.stderr)
    how = tests, Further(retrains, references, shadows if references else 0), minutes
    if len(runs) == 1 and not slurm:
        _audit(runs[0], *how)
        return
    outcomes = _all(runs, partial(_is_audited, how), jobs, slurm)
    require(all(outcomes), f"{outcomes.count(False)} of {len(runs)} runs were not audited, for the reasons above")


def _all(runs: Sequence[Path], audited: Callable[[Path], bool], jobs: int, slurm: Mapping[str, Any]) -> list[bool]:
    """Audit all runs here or on Slurm; return whether each could be audited."""
    from dau_lightning.audit.on_slurm import on_slurm
    from dau_lightning.audit.side_by_side import side_by_side

    if not slurm and jobs == 1:
        return [audited(folder) for folder in runs]
    outcomes, started = [], time.monotonic()
    for text, outcome in on_slurm(runs, audited, jobs, slurm) if slurm else side_by_side(runs, audited, jobs):
        outcomes.append(outcome)
        print(text, end="", flush=True)
        left = (time.monotonic() - started) / len(outcomes) * (len(runs) - len(outcomes)) / 60
        print(f"{len(outcomes)} of {len(runs)} audits are over, about {left:.0f} minutes left", file=sys.stderr)
    return outcomes


def _audit(folder: Path, settings: Sequence[str], further: "Further", minutes: float | None) -> None:
    """Audit a run, print its table and put the findings where they are shown."""
    from dau_lightning.audit.audit import audit
    from dau_lightning.audit.plan import planned
    from dau_lightning.audit.publish import publish
    from dau_lightning.audit.table import print_audit
    from dau_lightning.report.read import read

    (run,) = read([folder])
    print(f"\n{run.title}", flush=True)
    content = audit(run, planned(settings), further, minutes)
    print_audit(content)
    publish(run, content)


def _is_audited(how: tuple[Sequence[str], "Further", float | None], folder: Path) -> bool:
    """Audit a run of several; if it cannot be audited, print why and return False."""
    try:
        _audit(folder, *how)
    except Exception as error:
        if not expected(error):
            raise
        print(f"not audited: {line(error)}", file=sys.stderr)
        return False
    return True


def _count(name: str, text: str) -> int:
    require(text.isdecimal(), f"{name} must be an integer of at least 0, got {text!r}")
    return int(text)


def _slurm(settings: Sequence[str]) -> dict[str, Any]:
    """The parameters of Slurm jobs, such as `timeout_min`; empty if the audits run here."""
    given = dict(each.removeprefix(SLURM).split("=", 1) for each in settings if each.startswith(SLURM))
    return {name: int(value) if value.isdecimal() else value for name, value in given.items()}


def _minutes(text: str) -> float | None:
    try:
        minutes = float(text) if text else None
    except ValueError as error:
        raise InputError(f"minutes must be a number, got {text!r}") from error
    require(minutes is None or minutes > 0, f"minutes must be above 0, got {text}")
    return minutes


if __name__ == "__main__":
    with one_line():
        main()
