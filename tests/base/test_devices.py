from multiprocessing import get_context
from typing import Any

import pytest
import torch

from dau_lightning.base import devices
from tests.devices import steps

METHODS = {"FT": 21, "DAU": 21, "Random label": 28, "SFRon": 21, "CoUn": 21, "SCRUB+R": 27}  # and the number of steps
METHODS |= {"LoTUS": 4, "Bad Teacher": 14, "ReGUn": 21, "DELETE": 14, "Boundary Shrink": 14, "AMUN": 14}  # LoTUS stops early
pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")


@pytest.fixture(scope="module")
def left(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What one device, and each of two, leave of the same trainings."""
    folder = tmp_path_factory.mktemp("devices")
    places = [(1, 0), (2, 0), (2, 1)]
    started = [get_context("fork").Process(target=steps.main, args=(folder, *place)) for place in places]
    for process in started:
        process.start()
    for process in started:
        process.join(60)
    assert not any(process.exitcode for process in started)
    return {f"{devices}-{rank}": torch.load(folder / f"{devices}-{rank}.pt", weights_only=True) for devices, rank in places}


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_two_devices_have_the_losses_of_one(left, method):
    one, two = left["1-0"][method], left["2-0"][method]
    assert len(one["losses"]) == METHODS[method]
    torch.testing.assert_close(two["losses"], one["losses"], rtol=1e-5, atol=1e-6)
    defenders = [
        {name: weight for name, weight in each["weights"].items() if name.startswith("defender")} for each in (one, two)
    ]
    torch.testing.assert_close(*defenders, rtol=1e-4, atol=1e-5)  # Adam takes steps of the attacker along gradients of zero
    assert two["findings"] == pytest.approx(one["findings"], rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_both_devices_end_with_the_same_weights(left, method):
    first, second = (left[f"2-{rank}"][method]["weights"] for rank in (0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize("memory", [torch.contiguous_format, torch.channels_last])
def test_the_noise_of_the_shares_is_that_of_the_batch(monkeypatch, memory):
    images = torch.zeros(6, 3, 4, 4).to(memory_format=memory)
    torch.manual_seed(3)
    whole = devices.noise_like(images)
    monkeypatch.setattr(devices, "world_size", lambda: 2)
    for rank in (0, 1):
        monkeypatch.setattr(devices, "rank", lambda rank=rank: rank)
        torch.manual_seed(3)
        assert torch.equal(devices.noise_like(images[rank::2]), whole[rank::2])
