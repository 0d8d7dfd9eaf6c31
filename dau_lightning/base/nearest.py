"""The hint in an error about an unknown name: the most similar known names."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(name: object, known: Iterable[str], most: int = 3, prefix: str = "") -> str:
    """A clause for the end of an error message, with a prefix before each name; empty if no known name is similar.

    >>> did_you_mean("resnet81", ["resnet18", "convnet"])
    "; did you mean 'resnet18'?"
    """
    near = get_close_matches(str(name), list(known), most)
    return f"; did you mean {' or '.join(repr(prefix + each) for each in near)}?" if near else ""
