import torch

from dau_lightning.base.randomness import generator, key, reseed


def test_reseeding_draws_what_torch_draws_from_that_seed() -> None:
    reseed(0, "dropout", 3)
    drawn = torch.rand(4)
    torch.manual_seed(key(0, "dropout", 3))
    assert torch.equal(drawn, torch.rand(4))
    reseed(0, "dropout", 4)
    assert not torch.equal(drawn, torch.rand(4))


def test_a_generator_leaves_torchs_own_alone() -> None:
    reseed(0)
    expected = torch.rand(4)
    reseed(0)
    assert not torch.equal(torch.rand(4, generator=generator(1)), expected)
    assert torch.equal(torch.rand(4), expected)


def test_keys_are_seeds_of_63_bits_and_differ() -> None:
    keys = [key(*parts) for parts in [(0,), (1,), (0, "a"), (0, "b"), ("0",), (0, "a", 1), (0, "a1"), ()]]
    assert len(set(keys)) == len(keys)
    assert all(0 <= value < 2**63 for value in keys)
    assert key(0, "retain", 3) == key(0, "retain", 3)
    torch.Generator().manual_seed(max(keys))
