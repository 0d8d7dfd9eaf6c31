"""ReGUn (Mirlach et al. 2026): let the original's mean output on held-out images be the target on the forget set."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.devices import gather_shares
from dau_lightning.base.error import InputError
from dau_lightning.data.loader import Batch
from dau_lightning.data.split import Split
from dau_lightning.training.plain_pass import plain_logits
from dau_lightning.training.sgd import SGDMethod
from dau_lightning.training.teacher import divergence


class ReGUn(SGDMethod):
    """SGD on `.5 KL(q, student) + .5 CE(D_r)`, `q` the mean softmax of the original over held-out images (`D_v`).

    An epoch visits `D_r` once and cycles `D_f`. The two batches pass through the network one after another, so each has its
    own batch-norm statistics; the original's outputs come from its running ones.

    Args:
        by_class: take `q` over the held-out images of the forget image's own class; otherwise over all of them. Not for whole
            classes or wrong labels: `q` would be sure of the class that has to go.
        forget_batch_size: number of forget images in a step.
        settings: see `SGDMethod`; `batch_norm` applies to both batches.
    """

    label = "ReGUn"

    def __init__(self, *, by_class: bool, forget_batch_size: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.by_class = by_class
        self.batch_sizes = {"retain": self.batch_size, "forget": forget_batch_size}

    def check(self, split: Split) -> None:
        """See `UnlearningModule.check`."""
        super().check(split)
        if self.by_class and not torch.isin(split.forget.targets, split.val.targets).all():
            raise InputError("baseline.by_class=true needs a validation image of every class of the forget set; use false")

    def begin(self) -> None:
        """Compute `q` for every class of forget images, `(K, K)`."""
        val = self.data.part("val")
        probabilities = plain_logits(self.defender, val, self.data.transform).softmax(1)
        self.memory["target"] = probabilities.mean(0).repeat(self.defender.num_classes, 1)
        for label in val.targets.unique() if self.by_class else []:
            self.memory["target"][label] = probabilities[val.targets == label].mean(0)

    def loss(self, batch: Mapping[str, Batch]) -> Tensor:
        """`.5 KL(q, student) + .5 CE(D_r)`."""
        images, targets = batch["forget"]
        retain = self.cross_entropy(batch["retain"])
        forget = divergence(self.memory["target"][gather_shares(targets)], self.logits(images))
        return (forget + retain) / 2
