"""No attacker at all: forget predictions are pulled to the mean prediction of val samples. An ablation of the game."""

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.player import FormulaPlayer
from dau_lightning.metric.mia import SMALLEST


class MeanPrediction(FormulaPlayer):
    """Pulls each forget prediction to `q`, the mean prediction of val samples: `KL(q, p)`.

    ReGUn (Mirlach et al. 2026) takes the original's mean prediction; here it is that of the defender in the last steps.

    Nobody asks what tells forget from val samples, so that what the game is better than this is what its attacker earns.

    Args:
        num_classes: K.
        forget_batch_size: forget samples in a full step, by which the sum over samples is divided.
        stored_batches: val batches, this step's and those before it, whose mean is `q`.
    """

    stored: Tensor  # the mean predictions of the last val batches, the newest one at the end; not-a-number for none yet

    def __init__(self, num_classes: int, forget_batch_size: int, stored_batches: int) -> None:
        super().__init__()
        self.forget_batch_size = forget_batch_size
        self.register_buffer("stored", torch.full((stored_batches, num_classes), torch.nan))

    def look(self, forget: AttackerInputs, val: AttackerInputs) -> None:
        """Store the mean prediction of val samples."""
        self.stored = torch.cat([self.stored[1:], val.prediction.mean(0, keepdim=True)])

    def loss(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """What the defender minimises: the sum of `KL(q, p)` over forget samples, in nats, divided by a full batch."""
        mean = self.stored.nanmean(0).expand_as(forget.prediction)
        return F.kl_div(forget.prediction.clamp_min(SMALLEST).log(), mean, reduction="sum") / self.forget_batch_size
