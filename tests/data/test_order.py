import pytest
import torch

from dau_lightning.data.order import Order, PassOrder


@pytest.mark.parametrize(("size", "batch_size"), [(5, 3), (12, 4), (2, 7), (7, 7), (1, 3), (10, 1)])
def test_order_passes_over_the_part_again_and_again(size: int, batch_size: int) -> None:
    order = Order(size, batch_size, seed=0, name="retain")
    batches = [order.batch(step) for step in range(3 * size)]  # 3 * batch_size passes
    assert all(batch.shape == (batch_size,) for batch in batches)
    for one_pass in torch.cat(batches).split(size):
        assert one_pass.sort().values.tolist() == list(range(size))


def test_order_is_a_function_of_seed_part_and_step() -> None:
    order, steps = Order(11, 4, seed=3, name="retain"), range(12)
    batches = [order.batch(step) for step in steps]
    for step in (11, 2, 7, 2, 0):
        assert torch.equal(order.batch(step), batches[step])
        assert torch.equal(Order(11, 4, seed=3, name="retain").batch(step), batches[step])
    for other in (Order(11, 4, seed=4, name="retain"), Order(11, 4, seed=3, name="forget")):
        assert not torch.equal(torch.cat([other.batch(step) for step in steps]), torch.cat(batches))


def test_every_pass_is_another_permutation() -> None:
    order = Order(20, 20, seed=0, name="retain")
    passes = [tuple(order.batch(step).tolist()) for step in range(10)]
    assert len(set(passes)) == 10


def test_one_stream_does_not_depend_on_the_batch_size() -> None:
    streams = [torch.cat([Order(10, size, 0, "val").batch(step) for step in range(60 // size)]) for size in (1, 3, 20)]
    assert torch.equal(streams[0], streams[1])
    assert torch.equal(streams[0], streams[2])


@pytest.mark.parametrize(("size", "batch_size"), [(180, 256), (257, 256), (1620, 256), (12, 5), (7, 3), (1, 4), (5, 1)])
def test_a_pass_shows_every_image_once_in_batches_of_nearly_one_size(size: int, batch_size: int) -> None:
    order = PassOrder(size, batch_size, 0, "forget", devices=1)
    assert order.steps == -(-size // batch_size)
    passes = [[order.batch(number * order.steps + place) for place in range(order.steps)] for number in range(4)]
    for batches in passes:
        assert torch.cat(batches).sort().values.tolist() == list(range(size))
        sizes = [len(batch) for batch in batches]
        assert max(sizes) <= batch_size
        assert max(sizes) - min(sizes) <= 1
    if size > 5:
        assert len({tuple(torch.cat(batches).tolist()) for batches in passes}) == 4  # another permutation in every pass


@pytest.mark.parametrize(("size", "devices"), [(12, 2), (13, 2), (14, 4), (1, 2), (2, 4)])
def test_devices_share_every_batch_of_a_pass_equally(size: int, devices: int) -> None:
    order = PassOrder(size, 4, 0, "forget", devices)
    batches = [order.batch(step) for step in range(order.steps)]
    assert all(len(batch) % devices == 0 and len(batch) <= 4 for batch in batches)
    times = torch.cat(batches).bincount()
    assert len(times) == size
    assert times.min() >= 1
    assert times.sum() == -(-size // devices) * devices  # fewer than `devices` images come again
