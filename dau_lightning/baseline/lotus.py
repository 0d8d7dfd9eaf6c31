"""LoTUS (Spartalis et al. 2025): blur the forget set's outputs until their accuracy is that on unseen images."""

import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.data.split import emptied_share
from dau_lightning.training.plain_pass import accuracy, accuracy_on_wrong_labels
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.teacher import Teacher

ENOUGH = -0.01  # the training stops once acc_f - acc_v is at most this


class LoTUS(SGDMethod):
    """AdamW on the cross-entropy with targets drawn from the original's logits, the mean over forget and retain images.

    The target of a forget image is a Gumbel-softmax sample at temperature `exp(alpha (acc_f - acc_v))`; that of a retain
    image is a hard Gumbel sample, in place of its label. `acc_f` is the student's accuracy on `D_f`, measured before the first
    and after every epoch. `acc_v` is the original's accuracy on `D_v`, and 0 for forget images of classes of which no retain
    image is left. The training ends early once `acc_f - acc_v <= -0.01`.

    An epoch visits a share of `D_r`, drawn once, and cycles `D_f`; each batch has the two in a fixed proportion, where the
    authors shuffle them into one set. The original is in evaluation mode; forget and retain
    images pass through the student as one batch, with common batch-norm statistics. The first epoch always runs.

    Args:
        alpha: how fast the temperature rises with the distance.
        retain_share: share of `D_r` that is used, in (0, 1].
        forget_batch_size: number of forget images in a step.
        settings: see `SGDMethod`; `momentum` is Adam's beta 1, `batch_norm` applies to the common batch.
    """

    label = "LoTUS"

    def __init__(self, *, alpha: float, retain_share: float, forget_batch_size: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.alpha, self.teacher = alpha, Teacher(self.defender)
        self.batch_sizes = {"retain": self.batch_size, "forget": forget_batch_size}
        self.shares = {"retain": retain_share}

    def begin(self) -> None:
        """Measure the accuracies of the original model."""
        split, unseen = self.data.split, self._accuracy("val")  # acc_v
        if split.wrong_labels:
            unseen = accuracy_on_wrong_labels(unseen, self.defender.num_classes)
        unseen *= 1 - emptied_share(split)
        self.memory |= {"unseen": unseen, "distance": self._accuracy("forget") - unseen}

    def _accuracy(self, part: str) -> float:
        return accuracy(self.defender, self.data.part(part), self.data.transform)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """The mean cross-entropy with the drawn targets."""
        forget, retain = batch["forget"].images, batch["retain"].images
        temperature = math.exp(self.alpha * self.memory["distance"])
        self.log_values(temperature=temperature)
        targets = [F.gumbel_softmax(self.teacher(forget), temperature), F.gumbel_softmax(self.teacher(retain), hard=True)]
        return F.cross_entropy(self.logits(torch.cat([forget, retain])), torch.cat(targets))

    def on_train_epoch_end(self) -> None:
        """Measure the distance, and stop if it is gone."""
        self.memory["distance"] = self._accuracy("forget") - self.memory["unseen"]
        if self.memory["distance"] <= ENOUGH:
            self.trainer.should_stop = True

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on the defender."""
        return self.adamw()
