"""Randomness by name: whatever is drawn comes from a key such as (seed, "retain", step), so that any draw can be repeated."""

import hashlib

import torch


def key(*parts: object) -> int:
    """A seed of 63 bits from anything printable; different parts, different streams.

    >>> key(0, "retain", 1) == key(0, "retain", 1) != key(0, "retain", 2)
    True
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def generator(*parts: object) -> torch.Generator:
    """A generator on the CPU, so that every device draws the same, seeded by `key`."""
    return torch.Generator().manual_seed(key(*parts))
