"""Discriminative Adversarial Unlearning (Sharma, Zhou, Ji & Chen, arXiv 2402.06864) for image classifiers."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dau_lightning.api import unlearn

__all__ = ["unlearn"]


def __getattr__(name: str) -> Any:
    """Import `unlearn` when it is first used, so that the command line can report a mistake without importing torch."""
    if name == "unlearn":
        from dau_lightning.api import unlearn

        return unlearn
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
