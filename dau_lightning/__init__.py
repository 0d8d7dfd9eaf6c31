"""Discriminative Adversarial Unlearning (Sharma, Zhou, Ji & Chen, arXiv 2402.06864) for image classifiers."""

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dau_lightning.api import unlearn

__all__ = ["unlearn"]

# Before torch is imported: threads that wait spin for microseconds, then sleep. Spinning on costs tenfold where cores are
# shared, sleeping at once costs half where they are not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> Any:
    """`unlearn`, when it is asked for: the command line answers mistakes without waiting for torch."""
    if name == "unlearn":
        from dau_lightning.api import unlearn

        return unlearn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
