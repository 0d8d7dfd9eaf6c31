"""The lines that a run prints before it starts: its split, the images it will forget, and the steps it will take."""

from collections.abc import Mapping

from dau_lightning.data.copies import copy_warnings
from dau_lightning.data.request import described
from dau_lightning.data.split import Split, emptied_classes, emptied_share


def announce(names: Mapping[str, str], seed: int, split: Split, plan: str) -> None:
    """Print the split, the request and the plan of the method."""
    about = of_test = ""
    if emptied := ", ".join(emptied_classes(split)):
        about = f" (class {emptied})" if emptied_share(split) == 1 else f" (all of {emptied} among them)"
        of_test = f" and {len(split.test_forget):,} of {emptied}"
    head = ", ".join([names["dataset"], names["scheme"], f"seed {seed}"])
    print(f"{head}: forget {len(split.forget):,}{about} of {len(split.train):,} training images;")
    print(f"{len(split.val):,} to validate, {len(split.test_retain):,}{of_test} to test")
    print(described(split.request))
    for warning in copy_warnings(split.request):
        print(f"warning: {warning}")
    print(plan)
