import torch
from torch import Tensor, nn

from dau_lightning.network import convnet
from dau_lightning.network.defender import Defender
from dau_lightning.training.layer import new_network


class Scaled(nn.Linear):
    """A layer whose own initialisation is not torch's."""

    def __init__(self) -> None:
        super().__init__(16, 3)
        nn.init.constant_(self.weight, 7.0)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(input.flatten(1))


def test_a_network_that_the_run_can_make_is_made() -> None:
    defender = Defender(Scaled(), make_new=Scaled)
    nn.init.zeros_(defender.network.weight)
    made = new_network(defender, 0)
    assert float(made.weight.detach().min()) == 7
    assert torch.equal(made.bias, new_network(defender, 0).bias)  # by the key alone
    assert not torch.equal(made.bias, new_network(defender, 1).bias)
    assert float(defender.network.weight.detach().abs().max()) == 0


def test_a_given_network_is_copied_and_its_layers_reset() -> None:
    assert float(new_network(Defender(Scaled()), 0).weight.detach().abs().max()) <= 16**-0.5  # torch's own initialisation
    defender = Defender(convnet(3, 1, 4))
    made = new_network(defender, 0)
    torch.manual_seed(0)  # any state: the key decides
    again = new_network(Defender(convnet(3, 1, 4), make_new=lambda: convnet(3, 1, 4)), 0)
    assert all(map(torch.equal, made.state_dict().values(), again.state_dict().values()))
    assert not torch.equal(made[0][0].weight, defender.network[0][0].weight)
