"""Flattens nested mappings, such as settings and the rows of `result.json`, to one level of joined names."""

from collections.abc import Mapping
from typing import Any


def flatten(nested: Mapping[str, Any], separator: str) -> dict[str, Any]:
    """The innermost values; each key joins the names of all levels. An empty mapping gives no value.

    >>> flatten({"lr": 0.1, "attacker": {"width": 64, "loss": {}}}, ".")
    {'lr': 0.1, 'attacker.width': 64}
    """
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        inner = flatten(value, separator) if isinstance(value, Mapping) else None
        flat |= {name: value} if inner is None else {f"{name}{separator}{key}": leaf for key, leaf in inner.items()}
    return flat
