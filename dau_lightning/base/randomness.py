"""Keyed randomness: every draw depends on a key such as (seed, "retain", step) alone, so that it can be repeated."""

import hashlib

import torch


def key(*parts: object) -> int:
    """A seed of 63 bits from values with a `repr`; different values give different random numbers.

    >>> key(0, "retain", 1) == key(0, "retain", 1) != key(0, "retain", 2)
    True
    """
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big") >> 1


def reseed(*parts: object) -> None:
    """Seed torch's default generators, from which dropout draws, by `key`, on every device in use.

    Where no CUDA device is in use although the process could use one, `torch.manual_seed` would format the call stack each
    time, which takes 1.5 ms; then the CPU's generator is seeded directly.
    """
    if torch.cuda.is_initialized() or torch.backends.mps.is_available():
        torch.manual_seed(key(*parts))
    else:
        torch.default_generator.manual_seed(key(*parts))


def generator(*parts: object) -> torch.Generator:
    """A generator seeded by `key`; it is on the CPU, so that the draws are the same whatever the device."""
    return torch.Generator().manual_seed(key(*parts))
