"""Bad Teacher (Chundawat et al. 2023): learn from an untrained network on the forget set, from the original elsewhere."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.data.loader import Batch
from dau_lightning.training.layer import check_new_weights, new_network
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.teacher import Teacher, divergence


class BadTeacher(SGDMethod):
    """AdamW on the mean of `KL(untrained, student)` over forget images and `KL(original, student)` over retain images.

    An epoch visits a share of `D_r`, drawn once, and cycles `D_f`; an image counts the same, of whichever part it is. Each
    batch has the two parts in a fixed proportion, where the authors shuffle them into one set with each image once. Both
    teachers are in evaluation mode, and the untrained one has weights and statistics of a new network, see
    `layer.new_network`. Retain and forget images pass through the student as one batch, with common batch-norm statistics.

    Args:
        retain_share: share of `D_r` that is used, in (0, 1].
        forget_batch_size: number of forget images in a step.
        settings: see `SGDMethod`; `momentum` is Adam's beta 1, `batch_norm` applies to the common batch.

    Raises:
        InputError: a layer of the network cannot draw new weights.
    """

    label = "Bad Teacher"

    def __init__(self, *, retain_share: float, forget_batch_size: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.batch_sizes = {"retain": self.batch_size, "forget": forget_batch_size}
        self.shares = {"retain": retain_share}
        check_new_weights(self.defender, self.defender.network.modules(), self.label)
        self.original, self.untrained = Teacher(self.defender), Teacher(self.defender)

    def begin(self) -> None:
        """Draw the weights of the untrained teacher."""
        new = new_network(self.defender, self.seed, self.phase, "untrained teacher")
        self.untrained.network.network.load_state_dict(new.state_dict())

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """The mean divergence from the teachers."""
        images = {name: part.images for name, part in batch.items()}
        target = [self.original(images["retain"]), self.untrained(images["forget"])]
        return divergence(torch.cat(target).softmax(1), self.logits(torch.cat([images["retain"], images["forget"]])))

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """AdamW on the defender."""
        return self.adamw()
