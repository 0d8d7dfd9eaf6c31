"""SFRon (Huang et al. 2024): every few steps ascend on the forget set where that matters most, and train on the retain set."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from dau_lightning.base.devices import gather_shares
from dau_lightning.data.loader import Batch
from dau_lightning.data.split import Split
from dau_lightning.training.plain_pass import mean_squared_gradient
from dau_lightning.training.schedule import rate_factor
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.weight_mask import scale_gradients


class SFRon(SGDMethod):
    """SGD on `CE(D_r)`; every few steps, starting with the first, a step down `-a_t mean(w_i l_i)` over `D_f` comes before.

    `l_i` is the cross-entropy of a forget image and `w_i = B l_i^(-1/2) / sum_j l_j^(-1/2)`, a constant in the gradient, in
    which an `l_i` below 1e-8 counts as 1e-8; `a_t` falls to 0 along half a cosine. The gradient of this step is 0 where
    `F_f / F_r < 1`, and its norm is clipped. `F_f` and `F_r` are the means of the squared gradients of single samples with
    their own labels, those of the original in evaluation mode. Each batch uses its own batch-norm statistics.

    As in the published code, both steps are those of one SGD, so that momentum and weight decay move masked weights too; and
    there are no slow weights: the paper's average of them has the factor 1 there, which leaves the fast weights as they are.

    Args:
        ascent_weight: `a_0`.
        interval_steps: steps from one forget step to the next.
        clip_norm: the largest norm of the gradient of a forget step.
        forget_batch_size: number of forget images in a forget step.
        settings: see `SGDMethod`; `batch_norm` applies to both batches.
    """

    label = "SFRon"

    def __init__(
        self, *, ascent_weight: float, interval_steps: int, clip_norm: float, forget_batch_size: int, **settings: Any
    ) -> None:
        super().__init__(**settings)
        self.forgetting = False
        self.ascent_weight, self.interval_steps, self.clip_norm = ascent_weight, interval_steps, clip_norm
        self.batch_sizes = {"retain": self.batch_size, "forget": forget_batch_size}

    def forget_visits(self, steps: int, split: Split) -> float:
        """See `SGDMethod.forget_visits`."""
        return super().forget_visits(steps, split) / self.interval_steps

    def begin(self) -> None:
        """Find the weights whose gradient a forget step uses, bool `(P,)`."""
        parts = (self.data.part(name) for name in ("forget", "retain"))
        forget, retain = (mean_squared_gradient(self.defender, part, self.data.transform) for part in parts)
        self.memory["matters"] = forget >= retain

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor | None:
        """A forget step if it is time for one, and a step on the retain batch."""
        if self.step % self.interval_steps == 0:
            self.forgetting = True
            with self.modes(batch):
                loss = self.forget_loss(batch["forget"])
            self.descend(0, loss)
            self.forgetting = False
        return super().training_step(batch, batch_idx)

    def forget_loss(self, batch: Batch) -> Tensor:
        """`-a_t mean(w_i l_i)`."""
        losses = F.cross_entropy(self.logits(batch.images), gather_shares(batch.targets), reduction="none")
        weights = losses.detach().clamp(min=1e-8).rsqrt()  # an image with loss 0 would take all of the weight
        weights = len(losses) * weights / weights.sum()
        return -self.ascent_weight * rate_factor("cosine", self.progress) * (weights * losses).mean()

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Mask and clip the gradient of a forget step."""
        super().on_before_optimizer_step(optimizer)
        if self.forgetting:
            scale_gradients(self.defender, self.memory["matters"])
            clip_grad_norm_(self.defender.parameters(), self.clip_norm)
