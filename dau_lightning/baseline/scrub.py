"""SCRUB and SCRUB+R (Kurmanji et al. 2023): move away from the original on the forget set, stay with it on the retain set."""

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from dau_lightning.base.devices import gather_shares
from dau_lightning.base.error import require
from dau_lightning.data.loader import Batch
from dau_lightning.data.split import Split
from dau_lightning.training.plain_pass import accuracy, accuracy_as_in, accuracy_on_wrong_labels
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.teacher import Teacher, divergence


class SCRUB(SGDMethod):
    """SGD that ascends on `KL(original, student)` over `D_f`, and descends on `g CE + alpha KL(original, student)` over `D_r`.

    The first epochs are a pass over `D_f` and a pass over `D_r`, the others a pass over `D_r`. Both softmaxes have the
    temperature T, and the divergence the factor `T^2`, with which its gradient does not depend on T (Hinton et al. 2015).
    Each batch uses its own batch-norm statistics; the original, in evaluation mode, its running ones.

    Args:
        forget_epochs: `m`, the epochs that have a pass over `D_f`.
        forget_batch_size: number of forget images in a step.
        temperature: T.
        cross_entropy_weight: `g`.
        divergence_weight: `alpha`.
        rewind: SCRUB+R: end with the weights of the epoch whose error on `D_f` is closest to the final weights' error on
            held-out images (`D_v`, in the proportions that the classes have in `D_f`).
        settings: see `SGDMethod`.
    """

    label = "SCRUB"
    alternating = True

    def __init__(
        self,
        *,
        forget_epochs: int,
        forget_batch_size: int,
        temperature: float,
        cross_entropy_weight: float,
        divergence_weight: float,
        rewind: bool,
        **settings: Any,
    ) -> None:
        super().__init__(**settings)
        self.label, self.rewind, self.temperature = "SCRUB+R" if rewind else "SCRUB", rewind, temperature
        self.batch_sizes = {"forget": forget_batch_size, "retain": self.batch_size}
        self.pass_epochs = {"forget": forget_epochs}
        self.cross_entropy_weight, self.divergence_weight = cross_entropy_weight, divergence_weight
        self.teacher = Teacher(self.defender)

    def check(self, split: Split) -> None:
        """See `UnlearningModule.check`."""
        super().check(split)
        known = bool(torch.isin(split.val.targets, split.forget.targets).any())
        require(known or not self.rewind, "baseline.rewind=true needs a validation image of a class of the forget set")

    def begin(self) -> None:
        """Prepare the list of errors on the forget set and weights after each epoch, for SCRUB+R."""
        self.memory["epochs"] = []

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """What the step's part minimises."""
        ((part, (images, targets)),) = batch.items()
        logits, T = self.logits(images), self.temperature
        distance = T**2 * divergence((self.teacher(images) / T).softmax(1), logits / T)
        if part == "forget":
            return -distance
        return self.cross_entropy_weight * F.cross_entropy(logits, gather_shares(targets)) + self.divergence_weight * distance

    def on_train_epoch_end(self) -> None:
        """For SCRUB+R, remember the weights, and after the last epoch go back to the best ones."""
        if not self.rewind:
            return
        forget, transform, epochs = self.data.part("forget"), self.data.transform, self.memory["epochs"]
        error = 1 - accuracy(self.defender, forget, transform)
        epochs.append((error, {name: tensor.clone() for name, tensor in self.defender.state_dict().items()}))
        if len(epochs) == self.epochs:
            unseen = accuracy_as_in(self.defender, self.data.part("val"), transform, forget.targets)
            if self.data.split.wrong_labels:
                unseen = accuracy_on_wrong_labels(unseen, self.defender.num_classes)
            distances = [abs(error - (1 - unseen)) for error, _ in epochs]
            self.findings["epoch"] = best = distances.index(min(distances))
            self.defender.load_state_dict(epochs[best][1])
