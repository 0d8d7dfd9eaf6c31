"""The lines that a run prints before it starts: its split, the images it will forget, and the steps it will take."""

import platform
from collections.abc import Mapping

from dau_lightning.base.hardware import hardware
from dau_lightning.data.copies import copy_warnings
from dau_lightning.data.request import described
from dau_lightning.data.split import Split, emptied_classes, emptied_share
from dau_lightning.training.training import Training

X86 = "x86_64", "AMD64"


def announce(names: Mapping[str, str], training: Training, split: Split, plan: str) -> None:
    """Print the split, the request, warnings about both and about a precision that is slow here, and the method's plan."""
    about = of_test = ""
    if emptied := ", ".join(emptied_classes(split)):
        about = f" (class {emptied})" if emptied_share(split) == 1 else f" (all of {emptied} among them)"
        of_test = f" and {len(split.test_forget):,} of {emptied}"
    head = ", ".join([names["dataset"], names["scheme"], f"seed {training.seed}"])
    print(f"{head}: forget {len(split.forget):,}{about} of {len(split.train):,} training images;")
    print(f"{len(split.val):,} to validate, {len(split.test_retain):,}{of_test} to test")
    print(described(split.request))
    for warning in [*copy_warnings(split.request), *_slow(training)]:
        print(f"warning: {warning}")
    print(plan)


def _slow(training: Training) -> list[str]:
    """A warning about bf16 where the processor would emulate it: ResNet-9 trained 29 images/s, and 409 in float32."""
    precision, about = training.trainer_settings.precision, hardware(training.device)
    emulated = about["device"] == "cpu" and platform.machine() in X86 and not about["capability"].startswith("AVX512")
    if precision == "32-true" or not emulated:
        return []
    said = f"this processor ({about['capability']}, no AVX-512)"
    return [f"trainer.precision={precision} is many times slower than 32-true on {said}"]
