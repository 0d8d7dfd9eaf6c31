"""What the attacker sees of the defender: prediction, sensitivity and target of each sample (section 3.1)."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from dau_lightning.base.devices import gather_shares, world_size
from dau_lightning.data.loader import Batch
from dau_lightning.game.sensitivity import Sensitivity
from dau_lightning.network.defender import Defender
from dau_lightning.training.mode import batch_norm, float32

NO_SENSITIVITY = Sensitivity(0, 1.0, divide=False, norm=False, gradient=False, images_per_pass=1)
SMALL_NOISE = 0.05  # below it bfloat16 cannot resolve what the noise changes


class AttackerInputs(NamedTuple):
    """The attacker's inputs for N samples: predictions `(N, K)`, sensitivity `(N, K)`, targets int64 `(N,)`."""

    prediction: Tensor
    sensitivity: Tensor
    targets: Tensor

    def at(self, index: Tensor | slice) -> "AttackerInputs":
        """The samples at an index, int64 `(M,)` or a slice."""
        return AttackerInputs(*(column[index] for column in self))

    def split(self, sizes: list[int]) -> "list[AttackerInputs]":
        """Consecutive samples, as many in each part as `sizes` says."""
        return [AttackerInputs(*columns) for columns in zip(*(column.split(sizes) for column in self), strict=True)]

    def detached(self) -> "AttackerInputs":
        """The same numbers without a graph."""
        return AttackerInputs(*(column.detach() for column in self))


def join(*parts: AttackerInputs) -> AttackerInputs:
    """The samples of all parts, one part after another."""
    return AttackerInputs(*map(torch.cat, zip(*parts, strict=True)))


class DefenderOutputs(NamedTuple):
    """The defender's outputs for a batch: attacker inputs, logits `(B, K)`, features `(B, D)`."""

    inputs: AttackerInputs
    logits: Tensor
    features: Tensor


class Query:
    """Passes two batches through the defender, and gives what the attacker sees of each.

    Args:
        sensitivity: the second input of the attacker.
        attacker_input: the first one: `probabilities`, or the defender's `logits`.
        val_gradient: True: both batches are one batch of the defender, and both have gradients. False: the second one is a
            batch of its own without gradients, at a third of the cost.
    """

    def __init__(self, sensitivity: Sensitivity, attacker_input: str, val_gradient: bool = True) -> None:
        self.sensitivity, self.attacker_input, self.val_gradient = sensitivity, attacker_input, val_gradient

    def __call__(
        self, defender: Defender, first: Batch, second: Batch, mode: str, with_sensitivity: bool = True
    ) -> tuple[DefenderOutputs, DefenderOutputs]:
        """Outputs for each of the two batches, in float32 where the noise is too small for a shorter type.

        Args:
            defender: the defender.
            first: this device's share of a batch.
            second: its share of the other batch; both share batch statistics if both have gradients.
            mode: of the defender's batch-norm, see `mode.batch_norm`.
            with_sensitivity: False gives zeros, without a noisy pass.
        """
        sensitivity = self.sensitivity if with_sensitivity else NO_SENSITIVITY
        small = sensitivity.copies > 0 and sensitivity.noise_scale < SMALL_NOISE
        with batch_norm(defender, mode), float32(first.images.device) if small else nullcontext():
            if self.val_gradient:
                both = self._outputs(defender, [first, second], sensitivity)
                return both[0], both[1]
            with torch.no_grad():
                alone = self._outputs(defender, [second], sensitivity)
            return self._outputs(defender, [first], sensitivity)[0], alone[0]

    def _outputs(self, defender: Defender, batches: Sequence[Batch], sensitivity: Sensitivity) -> list[DefenderOutputs]:
        """Outputs for batches that pass through the defender as one."""

        def predict(images: Tensor) -> Tensor:
            return defender(images)[0].float().softmax(1)

        images, targets = map(torch.cat, zip(*batches, strict=True))
        logits, features = defender(images)
        probabilities = logits.float().softmax(1)
        prediction = probabilities if self.attacker_input == "probabilities" else logits.float()
        sizes = [world_size() * len(batch.targets) for batch in batches]
        shares = prediction, sensitivity(predict, images, probabilities), targets, logits, features
        columns = [gather_shares(share).split(sizes) for share in shares]
        return [DefenderOutputs(AttackerInputs(*parts[:3]), *parts[3:]) for parts in zip(*columns, strict=True)]
