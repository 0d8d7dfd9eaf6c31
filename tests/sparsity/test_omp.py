import copy

import pytest
import torch
from torch import nn

from dau_lightning.base.error import InputError
from dau_lightning.network import convnet, resnet9
from dau_lightning.sparsity.omp import OMP, measured_sparsity


def convolutions(network: nn.Module) -> dict[str, torch.Tensor]:
    return {f"{name}.weight": each.weight.detach() for name, each in network.named_modules() if isinstance(each, nn.Conv2d)}


@pytest.mark.parametrize("amount", [0.0, 0.3, 0.6])
def test_prunes_the_smallest_weights_of_all_layers_together(amount: float) -> None:
    torch.manual_seed(0)
    network = resnet9(num_classes=3, width=4)
    before = copy.deepcopy(network.state_dict())
    mask = OMP(amount, 0)(network)
    weights = convolutions(network)
    assert mask.keys() == weights.keys()
    kept = torch.cat([weights[name][mask[name]].abs() for name in mask])
    gone = torch.cat([weights[name][~mask[name]].abs() for name in mask])
    assert len(gone) == round(amount * (len(kept) + len(gone)))
    assert amount == 0 or gone.max() <= kept.min()
    assert len({float(mask[name].float().mean()) for name in mask}) > 1 or amount == 0  # global: layers differ
    assert all(torch.equal(before[name], tensor) for name, tensor in network.state_dict().items())  # only looked at


def test_batch_norm_and_linear_weights_stay() -> None:
    assert all(tensor.dim() == 4 for tensor in OMP(0.5, 0)(convnet(3, 1, 4)).values())


def test_a_layer_that_would_vanish_is_named() -> None:
    network = convnet(3, 1, 4)
    with torch.no_grad():
        network.get_parameter("1.0.weight").mul_(1e-6)
    with pytest.raises(InputError, match=r"sparsity\.amount=0\.7 would prune every weight of 1\.0\.weight: choose a smaller"):
        OMP(0.7, 0)(network)


def test_a_network_without_convolutions_is_refused() -> None:
    with pytest.raises(InputError, match="sparsity=dense"):
        OMP(0.5, 0)(nn.Linear(3, 2))


def test_measured_sparsity_counts_zeros_of_convolutions_only() -> None:
    network = convnet(3, 1, 4)
    assert measured_sparsity(network) == 0
    with torch.no_grad():
        network.get_parameter("0.0.weight").zero_()
        list(network.parameters())[-1].zero_()
    total = sum(weight.numel() for weight in convolutions(network).values())
    assert measured_sparsity(network) == pytest.approx(100 * 36 / total)
    assert measured_sparsity(nn.Linear(3, 2)) == 0
