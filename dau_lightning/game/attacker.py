"""Attacker networks: the transformer (section 3.1; SAMIA, Yuan & Zhang 2022) and others (section 5)."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.base.error import InputError
from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.metric.mia import confidence, entropy, max_confidence, modified_entropy

HEADS = 4


class Attacker(nn.Module):
    """Infers membership from prediction, sensitivity and target; 141,886 parameters for 10 classes, 511,066 for 100.

    Args:
        num_classes: K, the number of tokens.
        width: of a token, a multiple of 4; half of the feed-forward's.
        layers: of the encoder.
    """

    def __init__(self, num_classes: int, width: int = 64, layers: int = 3) -> None:
        super().__init__()
        self.num_classes, self.layers = num_classes, layers
        self.norm = nn.BatchNorm1d(3 * num_classes)
        self.embed = nn.Linear(3, width)
        layer = nn.TransformerEncoderLayer(
            width, HEADS, dim_feedforward=2 * width, dropout=0.2, activation="gelu", batch_first=True
        )
        self.encoder = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
        self.hidden = nn.Linear(width * num_classes, width)
        self.output = nn.Linear(width, 2)

    def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
        """Membership logits `(B,)`: positive for "member".

        Args:
            probabilities: the defender's softmax, or its logits with `attacker_input=logits`, float `(B, K)`.
            sensitivity: float `(B, K)`.
            targets: int64 `(B,)`.
        """
        one_hot = torch.zeros_like(probabilities).scatter(1, targets.unsqueeze(1), 1.0)  # F.one_hot would synchronise a GPU
        inputs = self.norm(torch.cat([probabilities, sensitivity, one_hot], dim=1))
        tokens = inputs.unflatten(1, (3, self.num_classes)).transpose(1, 2)
        encoded = self.encoder(F.gelu(self.embed(tokens)))
        nonmember, member = self.output(F.relu(self.hidden(encoded.flatten(1)))).unbind(1)
        return member - nonmember

    def step_bytes(self, samples: int) -> int:
        """Memory of a training step, bytes: four float32 copies of the attention, `K^2` a head, layer and sample (measured)."""
        return 4 * 4 * HEADS * self.layers * samples * self.num_classes**2


class StatisticsAttacker(nn.Module):
    """A small network that infers membership from statistics of simpler attacks (section 5).

    The statistics are confidence (Yeom et al. 2018), largest probability and entropy (Salem et al. 2018), modified entropy
    (Song & Mittal 2021), and perhaps `phi` (Carlini et al. 2022, see `AttackerInputs.margin`).

    Args:
        num_classes: not used: the number of inputs does not depend on it.
        attacker_input: the setting `baseline.attacker_input`.
        with_phi: whether `phi` is among the statistics. Its slope by the probabilities, about `1 / (1 - p_y)`, has no bound, so
            that a penalty on the attacker's slope would have none.

    Raises:
        InputError: `attacker_input` is not `probabilities`.
    """

    def __init__(self, num_classes: int, attacker_input: str, with_phi: bool) -> None:
        super().__init__()
        if attacker_input != "probabilities":
            raise InputError(
                f"baseline.attacker_input must be probabilities with baseline/attacker=statistics, got {attacker_input!r}"
            )
        self.with_phi, inputs = with_phi, 5 if with_phi else 4
        self.layers = nn.Sequential(
            nn.BatchNorm1d(inputs), nn.Linear(inputs, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
        """Membership logits `(B,)`, see `Attacker.forward`; the sensitivity is not used."""
        inside = probabilities.clamp(1e-6, 1 - 1e-6)  # the derivative of a logarithm is unbounded near 0
        statistics = (statistic(inside, targets) for statistic in (confidence, max_confidence, entropy, modified_entropy))
        phi = [AttackerInputs(probabilities, sensitivity, targets).margin()] if self.with_phi else []
        return self.layers(torch.stack([*statistics, *phi], 1)).squeeze(1)


class Several(nn.Module):
    """Several attackers at once; the losses take the mean over them.

    Args:
        num_classes: K, the number of classes.
        attackers: for each attacker's name, a function that makes its network for `num_classes`.
    """

    def __init__(self, num_classes: int, attackers: Mapping[str, Callable[[int], nn.Module]]) -> None:
        super().__init__()
        self.attackers = nn.ModuleDict({name: make(num_classes) for name, make in attackers.items()})

    def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
        """Membership logits of each attacker, `(B, A)`, see `Attacker.forward`."""
        return torch.stack([attacker(probabilities, sensitivity, targets) for attacker in self.attackers.values()], 1)
