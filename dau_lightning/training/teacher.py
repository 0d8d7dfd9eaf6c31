"""A frozen copy of the original, whose outputs a method takes as targets or moves away from."""

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.base.devices import gather_shares
from dau_lightning.network.defender import Defender
from dau_lightning.training.mode import evaluating


class Teacher(nn.Module):
    """A copy of a defender that no step changes, in evaluation mode. As a part of a module it is in every checkpoint.

    Args:
        defender: the network to copy. `UnlearningModule` takes over the original's weights when the training starts.
    """

    def __init__(self, defender: Defender) -> None:
        super().__init__()
        self.network = copy.deepcopy(defender).requires_grad_(False)

    def copy_from(self, defender: Defender) -> None:
        """Take over the weights and the running statistics of a defender."""
        self.network.load_state_dict(defender.state_dict())

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """The logits for the whole batch of which this device has a share, float32 `(B, K)`."""
        with evaluating(self.network):
            return gather_shares(self.network(images)[0].float())


def divergence(target: Tensor, logits: Tensor) -> Tensor:
    """`KL(X, student) = sum_k x_k log(x_k / p_k)`, the mean over the batch, in nats.

    Args:
        target: probabilities X, `(B, K)`; a class with probability 0 counts nothing.
        logits: the student's, `(B, K)`, whose softmax is p.

    >>> import torch
    >>> divergence(torch.tensor([[1.0, 0.0]]), torch.zeros(1, 2))
    tensor(0.6931)
    """
    return F.kl_div(logits.log_softmax(1), target, reduction="batchmean")
