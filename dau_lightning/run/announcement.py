"""The lines that a run prints before it starts: its split, the images it will forget, and the steps it will take."""

from collections.abc import Mapping

from dau_lightning.data.request import described
from dau_lightning.data.split import Split, emptied_classes, emptied_share


def announce(names: Mapping[str, str], seed: int, split: Split, plan: str) -> None:
    """Print the split, the request and the plan of the method."""
    emptied = ", ".join(emptied_classes(split))
    of_test = f" and {len(split.test_forget):,} of {emptied}" if emptied else ""
    head = ", ".join([names["dataset"], names["scheme"], f"seed {seed}"])
    print(f"{head}: forget {len(split.forget):,}{_emptied(split)} of {len(split.train):,} training images;")
    print(f"{len(split.val):,} to validate, {len(split.test_retain):,}{of_test} to test")
    print(described(split.request))
    print(plan)


def run_title(names: Mapping[str, str], seed: int, split: Split) -> str:
    """One line that says what the run forgets, the title of its pictures."""
    what = f"{len(split.forget):,} of {len(split.train):,} images{_emptied(split)}"
    return f"{', '.join(names[group] for group in ('dataset', 'network', 'scheme', 'sparsity'))}, seed {seed}: {what} forgotten"


def _emptied(split: Split) -> str:
    """The classes that are forgotten completely, in brackets; empty if there are none."""
    if not (emptied := ", ".join(emptied_classes(split))):
        return ""
    return f" (class {emptied})" if emptied_share(split) == 1 else f" (all of {emptied} among them)"
