"""The command `python -m dau_lightning.audit`."""

import sys
from collections.abc import Sequence
from pathlib import Path

from dau_lightning.base.error import InputError, one_line, require

USAGE = """Audit finished runs: what attacks of today still find in the unlearned model, beside Retrain and the original.

  python -m dau_lightning.audit RUN...                 tests that need no further models
  python -m dau_lightning.audit RUN... references=4    all tests
RUN is a run folder, or a folder with runs in it. Findings go into audit.json, report.html and the model card of each run.
  references=0     reference models to train into the store, 1 to 4; an original's time each, once for all runs of a split
  shadows=16       shadow models, an even number; if there are references; an original's time each, and one unlearning each
  minutes=M        of each run, after which nothing further begins; the same command goes on
  TEST.SETTING=V   a setting of a test, see conf/audit/TEST.yaml"""

OWN = {"references": "0", "shadows": "16", "minutes": ""}


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
    references, shadows = (_count(name, own[name]) for name in ("references", "shadows"))
    require(references <= 4, f"references must be at most 4, got {references}")
    require(shadows % 2 == 0, f"shadows must be even, each image is in half of them; got {shadows}")
    require(bool(folders), "name the folder of a finished run")

    from dau_lightning.audit.audit import audit
    from dau_lightning.audit.plan import planned
    from dau_lightning.audit.publish import publish
    from dau_lightning.audit.table import print_audit
    from dau_lightning.report.read import read, unfinished  # imports torch, so after the checks above

    minutes = _minutes(own["minutes"])
    tests = planned([setting for setting in settings if setting.partition("=")[0] not in OWN])
    runs, refused = read(folders), 0
    for line in unfinished(folders):
        print(line, file=sys.stderr)
    for run in runs:
        print(f"\n{run.title}", flush=True)
        try:
            content = audit(run, tests, references, shadows, minutes)
        except InputError as error:
            if len(runs) == 1:
                raise
            refused += 1
            print(f"not audited: {error}", file=sys.stderr)
            continue
        print_audit(content)
        publish(run, content)
    require(not refused, f"{refused} of {len(runs)} runs were not audited, for the reasons above")


def _count(name: str, text: str) -> int:
    require(text.isdecimal(), f"{name} must be an integer of at least 0, got {text!r}")
    return int(text)


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
