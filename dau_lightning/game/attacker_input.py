"""What the attacker sees of the defender: prediction, sensitivity and target of each sample (section 3.1)."""

from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor

from dau_lightning.base.devices import gather_shares, world_size
from dau_lightning.base.error import require
from dau_lightning.data.loader import Batch
from dau_lightning.game.sensitivity import Sensitivity
from dau_lightning.metric.mia import SMALLEST
from dau_lightning.network.defender import Defender
from dau_lightning.training.mode import batch_norm, float32

NO_SENSITIVITY = Sensitivity(0, 1.0, divide=False, norm=False, gradient=False, images_per_pass=1)
NO_COPIES = (
    "baseline.sensitivity.copies must be 0 with baseline.joint_batch=retain_forget, got {} (or set "
    "baseline.joint_batch=forget_val)"
)
ONE_MODE = (
    "baseline.batch_norm must be batch with baseline.joint_batch=retain_forget, got {} (or set baseline.joint_batch=forget_val)"
)
SMALL_NOISE = 0.05  # below it bfloat16 cannot resolve what the noise changes


class AttackerInputs(NamedTuple):
    """The attacker's inputs for N samples: predictions `(N, K)`, sensitivity `(N, K)`, targets int64 `(N,)`."""

    prediction: Tensor
    sensitivity: Tensor
    targets: Tensor

    def at(self, index: Tensor | slice) -> "AttackerInputs":
        """The samples at an index, int64 `(M,)` or a slice."""
        return AttackerInputs(*(column[index] for column in self))

    def margin(self) -> Tensor:
        """`phi = log p_y - log(1 - p_y)`, float32 `(N,)`, where the predictions are probabilities.

        The other probabilities are summed, since `1 - p_y` would be 0 where `p_y` rounds to 1.
        """
        place = self.targets.unsqueeze(1)
        label, others = self.prediction.gather(1, place).squeeze(1), self.prediction.scatter(1, place, 0.0).sum(1)
        return label.clamp_min(SMALLEST).log() - others.clamp_min(SMALLEST).log()

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

    def none(self) -> "DefenderOutputs":
        """The outputs for a batch without samples."""
        return DefenderOutputs(self.inputs.at(slice(0)), self.logits[:0], self.features[:0])


class Query:
    """Passes batches through the defender, and gives what the attacker sees of each.

    Args:
        sensitivity: the second input of the attacker.
        attacker_input: the first one: `probabilities`, or the defender's `logits`.
        joint_batch: the parts that are one batch of the defender in a step, with the same batch statistics. `forget_val`: all
            three parts have gradients. `retain_forget`: val images are a batch of their own without gradients, at a third of
            the cost; no sensitivity. Forget images that share no class with the retain images are a batch, too, see `prepare`.

    Raises:
        InputError: a sensitivity with `joint_batch="retain_forget"`.
    """

    def __init__(self, sensitivity: Sensitivity, attacker_input: str, joint_batch: str = "forget_val") -> None:
        require(joint_batch == "forget_val" or not sensitivity.copies, NO_COPIES.format(sensitivity.copies))
        self.sensitivity, self.attacker_input, self.joint_batch = sensitivity, attacker_input, joint_batch
        self.joint = {"forget_val": self._forget_val, "retain_forget": self._retain_forget}[joint_batch]
        self.apart, self.with_val = False, True

    def check(self, mode: str) -> None:
        """Raise an `InputError` if the joint batch does not use this mode of batch-norm."""
        require(self.joint_batch == "forget_val" or mode == "batch", ONE_MODE.format(mode))

    def prepare(self, forget: Tensor, retain: Tensor, with_val: bool) -> None:
        """Keep forget images in a batch of their own if they share no class with the retain images.

        Args:
            forget: targets of the forget set, int64 `(N,)`.
            retain: targets of the retain set, int64 `(M,)`.
            with_val: whether anybody looks at val images. If not, a batch of their own is left out.
        """
        self.apart, self.with_val = not torch.isin(forget, retain).any(), with_val

    def step(
        self, defender: Defender, batch: Mapping[str, Batch], mode: str, with_sensitivity: bool
    ) -> dict[str, DefenderOutputs]:
        """Outputs for this device's share of a step's batch, by part.

        Args:
            defender: the defender.
            batch: `retain`, `forget` and `val`; or `retain` alone, where nobody plays.
            mode: of the defender's batch-norm for a joint batch of forget and val images, see `mode.batch_norm`.
            with_sensitivity: False gives zeros, without a noisy pass.
        """
        if "forget" not in batch:
            return {"retain": self._alone(defender, batch["retain"])}
        return self.joint(defender, batch, mode, with_sensitivity)

    def _forget_val(
        self, defender: Defender, batch: Mapping[str, Batch], mode: str, with_sensitivity: bool
    ) -> dict[str, DefenderOutputs]:
        retain = self._alone(defender, batch["retain"])
        forget, val = self(defender, batch["forget"], batch["val"], mode, with_sensitivity)
        return {"retain": retain, "forget": forget, "val": val}

    def _retain_forget(self, defender: Defender, batch: Mapping[str, Batch], *_: object) -> dict[str, DefenderOutputs]:
        parts = dict[str, DefenderOutputs]()
        if self.with_val:
            with torch.no_grad(), batch_norm(defender, "batch"):
                parts["val"] = self._alone(defender, batch["val"])
        if self.apart:
            retain = self._alone(defender, batch["retain"])
            with batch_norm(defender, "batch"):
                forget = self._alone(defender, batch["forget"])
        else:
            retain, forget = self._outputs(defender, [batch["retain"], batch["forget"]], NO_SENSITIVITY)
        return {"retain": retain, "forget": forget, "val": forget.none()} | parts

    def __call__(
        self, defender: Defender, first: Batch, second: Batch, mode: str, with_sensitivity: bool = True
    ) -> tuple[DefenderOutputs, DefenderOutputs]:
        """Outputs for each part of one joint batch, in float32 where the noise is too small for a shorter type.

        Args:
            defender: the defender.
            first: this device's share of one part.
            second: its share of the other part.
            mode: of the defender's batch-norm, see `mode.batch_norm`.
            with_sensitivity: False gives zeros, without a noisy pass.
        """
        sensitivity = self.sensitivity if with_sensitivity else NO_SENSITIVITY
        small = sensitivity.copies > 0 and sensitivity.noise_scale < SMALL_NOISE
        with batch_norm(defender, mode), float32(first.images.device) if small else nullcontext():
            both = self._outputs(defender, [first, second], sensitivity)
        return both[0], both[1]

    def _alone(self, defender: Defender, batch: Batch) -> DefenderOutputs:
        return self._outputs(defender, [batch], NO_SENSITIVITY)[0]

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
