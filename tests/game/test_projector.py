import torch
from torch import Tensor, nn

from dau_lightning.game.projector import ProjectedRegulariser, mlp


def test_mlp_projects_features() -> None:
    projector = mlp(4, width=6)
    assert projector(torch.randn(5, 4)).shape == (5, 6)
    assert [type(layer) for layer in projector] == [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear]


def test_all_features_are_one_batch_of_the_projector() -> None:
    def regulariser(forget: Tensor, val: Tensor, retain: Tensor) -> Tensor:
        return (forget.sum() - 2 * val.sum()) * retain.sum()

    torch.manual_seed(0)
    forget, val, retain = torch.randn(6, 4), torch.randn(6, 4), torch.randn(12, 4)
    module = ProjectedRegulariser(mlp(4, width=5), regulariser)
    found = module(forget, val, retain)
    assert module.projector[1].num_batches_tracked == 1
    projected = module.projector(torch.cat([forget, val, retain]))
    assert torch.equal(found, regulariser(projected[:6], projected[6:12], projected[12:]))
