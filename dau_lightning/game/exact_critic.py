"""The exact critic: an attacker without a network, for the Wasserstein objective on one statistic of a prediction."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.player import FormulaPlayer
from dau_lightning.training.sgd import SGDMethod


class ExactCritic(FormulaPlayer):
    """Pairs the sorted `phi` of forget samples with quantiles of val samples: a bounded, squared Wasserstein distance.

    `phi` (`AttackerInputs.margin`) is the statistic of the strongest attacks (Carlini et al. 2022). In one dimension the best
    critic of the Wasserstein game (Arjovsky et al. 2017) has a closed form, so that it needs no training. A sample's part in
    the loss does not depend on how many others are forgotten with it.

    A class that must go as a whole has no unseen images to be like, and neither have samples with wrong labels: their
    loss is `-log(1 - p_y)` in place of a distance.

    Args:
        num_classes: K.
        forget_batch_size: forget samples in a full step, by which sums over samples are divided.
        val_batch_size: val samples in a step.
        stored_batches: val batches, this step's and those before it, whose values make the quantiles.
        power: of a difference: 2, or 1.
        largest: a difference is at most this.
        emptied_weight: of `-log(1 - p_y)`, in nats, beside a squared difference.
    """

    stored: Tensor  # the values of the last val batches, the newest one at the end
    steps: Tensor  # int64: how many have been stored
    emptied: Tensor  # bool (K,): classes whose forget samples are pushed away; all if labels are wrong

    def __init__(
        self,
        num_classes: int,
        forget_batch_size: int,
        val_batch_size: int,
        stored_batches: int,
        power: float,
        largest: float,
        emptied_weight: float,
    ) -> None:
        super().__init__()
        self.forget_batch_size, self.power, self.largest = forget_batch_size, power, largest
        self.emptied_weight = emptied_weight
        self.register_buffer("stored", torch.zeros(stored_batches, val_batch_size))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("emptied", torch.zeros(num_classes, dtype=torch.bool))

    def look(self, forget: AttackerInputs, val: AttackerInputs) -> None:
        """Store the values of val samples."""
        if self.uses_val:
            self.stored = torch.cat([self.stored[1:], val.margin().unsqueeze(0)])
            self.steps += 1

    def loss(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """What the defender minimises: the distance of forget values from the quantiles of stored val values."""
        values = forget.margin()
        gone = self.emptied[forget.targets]
        push = self.emptied_weight * (F.softplus(values) * gone).sum()
        if not self.uses_val:
            return push / self.forget_batch_size
        stays = torch.where(gone, torch.nan, values).sort().values  # not-a-number is the largest
        age = torch.arange(len(self.stored), 0, -1, device=values.device)
        unseen = torch.where((age <= self.steps).unsqueeze(1), self.stored, torch.nan)
        difference = (stays - quantiles(unseen.flatten(), (~gone).sum(), len(values))).abs().nan_to_num(0.0)
        distance = difference.clamp(max=self.largest).pow(self.power)
        return (distance.sum() + push) / self.forget_batch_size

    def before_game(self, module: SGDMethod) -> None:
        """Find the classes whose forget samples pay; if all do, nobody looks at val samples."""
        sizes = {part: module.data.part(part).targets.bincount(minlength=len(self.emptied)) for part in ("forget", "retain")}
        forgotten = sizes["forget"] > 0
        self.emptied.copy_(forgotten & ((sizes["retain"] == 0) | module.data.split.wrong_labels))
        self.uses_val = bool((forgotten & ~self.emptied).any())


def quantiles(values: Tensor, count: Tensor, size: int) -> Tensor:
    """The values at the ranks `(i + 1/2) / count`, `(size,)`, linear between neighbours; not-a-number from `count` on.

    Args:
        values: `(M,)`; not-a-number stands for none.
        count: how many quantiles, int64 scalar.
        size: length of the result, at least `count`.
    """
    known = (~values.isnan()).sum()
    ranks = (torch.arange(size, dtype=values.dtype, device=values.device) + 0.5) / count * known - 0.5
    ranks = torch.minimum(ranks.clamp_min(0.0), known - 1.0)
    ordered = values.sort().values
    low = ranks.floor().long()
    high = torch.minimum(low + 1, known - 1)
    found = torch.lerp(ordered[low], ordered[high], ranks - low)
    return torch.where(torch.arange(size, device=values.device) < count, found, torch.nan)
