"""What the attacker sees of the defender: prediction, sensitivity and label (section 3.1), in the game and outside of it."""

from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from dau_lightning.base.devices import together
from dau_lightning.game.sensitivity import Sensitivity
from dau_lightning.network.defender import Defender
from dau_lightning.training.mode import batch_norm, float32

SMALL_NOISE = 0.05  # below it bfloat16 cannot resolve what the noise changes


class AttackerInputs(NamedTuple):
    """What the attacker sees of samples: predictions `(N, K)`, sensitivity `(N, K)`, labels `(N,)`."""

    prediction: Tensor
    sensitivity: Tensor
    targets: Tensor

    def at(self, index: Tensor | slice) -> "AttackerInputs":
        """The rows at an index, int64 `(M,)` or a slice."""
        return AttackerInputs(*(column[index] for column in self))

    def split(self, sizes: list[int]) -> "list[AttackerInputs]":
        """AttackerInputs of the given numbers, one after another."""
        return [AttackerInputs(*columns) for columns in zip(*(column.split(sizes) for column in self), strict=True)]

    def detached(self) -> "AttackerInputs":
        """The same numbers without a graph."""
        return AttackerInputs(*(column.detach() for column in self))


def join(*parts: AttackerInputs) -> AttackerInputs:
    """AttackerInputs one after another."""
    return AttackerInputs(*map(torch.cat, zip(*parts, strict=True)))


class DefenderOutputs(NamedTuple):
    """What one joint pass of the defender gives: rows, logits `(B, K)`, features `(B, D)`."""

    rows: AttackerInputs
    logits: Tensor
    features: Tensor


class AttackerInputMaker:
    """Looks at a defender as the attacker does.

    Args:
        sensitivity: the second input.
        attacker_input: `probabilities`, or the defender's `logits` in their place.
    """

    def __init__(self, sensitivity: Sensitivity, attacker_input: str) -> None:
        self.sensitivity, self.attacker_input = sensitivity, attacker_input

    def __call__(
        self, defender: Defender, images: Tensor, targets: Tensor, mode: str, with_sensitivity: bool = True
    ) -> DefenderOutputs:
        """Observe images `(B, C, H, W)` of labels `(B,)`, of several devices each its share of them.

        Noise too small for a shorter type to resolve is measured in float32, prediction and noisy predictions alike.

        Args:
            defender: the defender.
            images: normalised.
            targets: int64.
            mode: of the defender's batch-norm, see `mode.batch_norm`.
            with_sensitivity: False gives zeros, and no noisy pass.
        """

        def predict(images: Tensor) -> Tensor:
            return defender(images)[0].float().softmax(1)

        small = with_sensitivity and self.sensitivity.copies > 0 and self.sensitivity.noise_scale < SMALL_NOISE
        with batch_norm(defender, mode), float32(images.device) if small else nullcontext():
            logits, features = defender(images)
            probabilities = logits.float().softmax(1)
            sensitivity = torch.zeros_like(probabilities)
            if with_sensitivity:
                sensitivity = self.sensitivity(predict, images, probabilities)
        prediction = probabilities if self.attacker_input == "probabilities" else logits.float()
        rows = AttackerInputs(*map(together, (prediction, sensitivity, targets)))
        return DefenderOutputs(rows, together(logits), together(features))
