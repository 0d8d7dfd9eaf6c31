"""Attackers: the transformer (section 3.1; SAMIA, Yuan & Zhang 2022) and its sensitivity, and others beside it (section 5)."""

from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.devices import noise_like
from dau_lightning.error import InputError
from dau_lightning.metric.mia import confidence, entropy, max_confidence, modified_entropy

Predict = Callable[[Tensor], Tensor]


class Attacker(nn.Module):
    """Infers membership from prediction, sensitivity and label; 141,886 parameters for 10 classes, 511,066 for 100.

    Args:
        num_classes: K, the number of tokens.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.norm = nn.BatchNorm1d(3 * num_classes)
        self.embed = nn.Linear(3, 64)
        layer = nn.TransformerEncoderLayer(64, nhead=4, dim_feedforward=128, dropout=0.2, activation="gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, num_layers=3, enable_nested_tensor=False)
        self.hidden = nn.Linear(64 * num_classes, 64)
        self.output = nn.Linear(64, 2)

    def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
        """Judge a batch.

        Args:
            probabilities: the defender's softmax (or its logits, where the method says so), float `(B, K)`.
            sensitivity: float `(B, K)`.
            targets: labels, int64 `(B,)`.

        Returns:
            Membership logits `(B,)`: positive for "member".
        """
        labels = torch.zeros_like(probabilities).scatter(1, targets.unsqueeze(1), 1.0)  # F.one_hot reads numbers on the way
        inputs = self.norm(torch.cat([probabilities, sensitivity, labels], dim=1))
        tokens = inputs.unflatten(1, (3, self.num_classes)).transpose(1, 2)
        encoded = self.encoder(F.gelu(self.embed(tokens)))
        nonmember, member = self.output(F.relu(self.hidden(encoded.flatten(1)))).unbind(1)
        return member - nonmember


class StatisticsAttacker(nn.Module):
    """Infers membership from what simpler attacks look at (section 5: Yeom et al. 2018; Salem et al. 2018; Song & Mittal 2021).

    A small network on confidence, largest probability, entropy and modified entropy.

    Args:
        num_classes: K; not used, since there are four inputs whatever it is.
        attacker_input: what the method shows.

    Raises:
        InputError: the method shows something else than probabilities.
    """

    def __init__(self, num_classes: int, attacker_input: str) -> None:
        super().__init__()
        if attacker_input != "probabilities":
            raise InputError(
                f"baseline.attacker_input must be probabilities for the statistics of the attacker, got {attacker_input!r}"
            )
        self.layers = nn.Sequential(
            nn.BatchNorm1d(4), nn.Linear(4, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1)
        )

    def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
        """Judge a batch: see `Attacker.forward`; the sensitivity is not looked at."""
        inside = probabilities.clamp(1e-6, 1 - 1e-6)  # the slope of a logarithm has no bound at 0
        statistics = (statistic(inside, targets) for statistic in (confidence, max_confidence, entropy, modified_entropy))
        return self.layers(torch.stack([*statistics], 1)).squeeze(1)


class Several(nn.Module):
    """Several attackers at once, each with its own inputs: logits `(B, A)`, over which the losses take means.

    Args:
        num_classes: K.
        attackers: by name, each made for a number of classes.
    """

    def __init__(self, num_classes: int, attackers: Mapping[str, Callable[[int], nn.Module]]) -> None:
        super().__init__()
        self.attackers = nn.ModuleDict({name: make(num_classes) for name, make in attackers.items()})

    def forward(self, probabilities: Tensor, sensitivity: Tensor, targets: Tensor) -> Tensor:
        """Judge a batch with each: see `Attacker.forward`; `(B, A)`."""
        return torch.stack([attacker(probabilities, sensitivity, targets) for attacker in self.attackers.values()], 1)


class Sensitivity:
    """How much a prediction moves when its image is blurred by noise (section 3.1).

    `s = (1 / n) sum_i |p(x + eps u_i) - p(x)|` per class, `u_i ~ N(0, I)` on normalised pixels.

    Args:
        copies: n; 0 gives zeros, and no pass through the defender.
        noise_scale: eps.
        divide: divide by eps, as SAMIA's code does; the paper prints no division.
        norm: the Euclidean norm over the classes in place of each class's own change, the same number for every class.
        gradient: let the gradient pass through the noisy predictions and the prediction they are compared with.
        images_per_pass: noisy images that the defender sees at a time, in whole copies of the batch, one at least.
            Statistics of a batch are those of a pass.
    """

    def __init__(self, copies: int, noise_scale: float, divide: bool, norm: bool, gradient: bool, images_per_pass: int) -> None:
        self.copies, self.noise_scale, self.divide, self.norm, self.gradient = copies, noise_scale, divide, norm, gradient
        self.images_per_pass = images_per_pass

    def __call__(self, predict: Predict, images: Tensor, probabilities: Tensor) -> Tensor:
        """Measure.

        Args:
            predict: images `(B, C, H, W)` to probabilities `(B, K)`; float32 where `noise_scale` is below 0.05.
            images: normalised, `(B, C, H, W)`.
            probabilities: `predict(images)`, `(B, K)`.

        Returns:
            Float `(B, K)`, not negative.
        """
        total = torch.zeros_like(probabilities)
        with torch.set_grad_enabled(self.gradient and torch.is_grad_enabled()):
            together = max(1, self.images_per_pass // len(images))
            for first in range(0, self.copies, together):
                count = min(together, self.copies - first)
                noisy = torch.cat([images + self.noise_scale * noise_like(images) for _ in range(count)])
                change = predict(noisy).unflatten(0, (count, -1)) - probabilities
                size = change.norm(dim=2, keepdim=True).expand_as(change) if self.norm else change.abs()
                total = total + size.sum(0)
        return total / (max(self.copies, 1) * (self.noise_scale if self.divide else 1.0))
