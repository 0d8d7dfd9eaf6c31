"""Accuracies and attacks of a model, measured while Lightning tests it."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import lightning as L
import torch
from torch import Tensor
from torchmetrics import Metric
from torchmetrics.classification import MulticlassAccuracy

from dau_lightning.base.error import TrainingError

WRONG_LABELS = 9  # of an image, at most: all of them where there are 10 classes


class Measure(NamedTuple):
    """A metric that is fed from some parts.

    Attributes:
        metric: with `update(role, logits, targets)`.
        roles: the role of each part that takes part in it.
        relabelled: the parts whose samples count with wrong labels: once with each of `WRONG_LABELS` other classes.
    """

    metric: Metric
    roles: Mapping[str, str]
    relabelled: Collection[str] = ()


class MetricsCallback(L.Callback):
    """Measures every sample of every part once.

    Args:
        parts: names of the test loaders, in their order.
        num_classes: K, the number of classes.
        measures: attacks and other metrics by name.
    """

    def __init__(self, parts: Sequence[str], num_classes: int, measures: Mapping[str, Measure]) -> None:
        self.parts = parts
        self.measures = {name: Measure(it.metric.clone(), it.roles, it.relabelled) for name, it in measures.items()}
        self.kept: dict[str, tuple[Tensor, Tensor]] = {}  # logits and targets of a part that is not complete yet
        self.accuracies = {
            part: MulticlassAccuracy(num_classes, average="micro", validate_args=False, sync_on_compute=False) for part in parts
        }

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Move the metrics to the model's device."""
        for metric in (*(measure.metric for measure in self.measures.values()), *self.accuracies.values()):
            metric.to(pl_module.device)

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Feed a batch of logits to the metrics of its part."""
        part = self.parts[dataloader_idx]
        if not torch.isfinite(outputs).all():
            raise TrainingError(f"{pl_module.label}: its outputs on the {part} set are not finite; try a smaller learning rate")
        self.accuracies[part].update(outputs, batch.targets)
        loaders: Any = trainer.test_dataloaders
        self._keep(part, outputs, batch.targets, len(loaders[dataloader_idx].part))

    def _keep(self, part: str, logits: Tensor, targets: Tensor, size: int) -> None:
        """Store a batch, and give the part to the metrics once it is complete.

        A small tensor kept from every batch would fragment the memory: 60,000 images left 2 GiB of unusable gaps.
        """
        if part not in self.kept:
            self.kept[part] = logits.new_empty((size, *logits.shape[1:])), targets.new_empty(size)
            self.seen = 0
        for stored, batch in zip(self.kept[part], (logits, targets), strict=True):
            stored[self.seen : self.seen + len(batch)] = batch
        self.seen += len(targets)
        if self.seen == size:
            logits, targets = self.kept.pop(part)
            shifts = range(1, min(logits.shape[1] - 1, WRONG_LABELS) + 1)
            for metric, roles, relabelled in self.measures.values():
                for shift in (shifts if part in relabelled else (0,)) if part in roles else ():
                    metric.update(roles[part], logits, (targets + shift) % logits.shape[1])

    def accuracy(self) -> dict[str, float]:
        """Accuracy of each part, in percent."""
        return {part: 100 * float(metric.compute()) for part, metric in self.accuracies.items()}

    def measured(self) -> dict[str, Any]:
        """The value of each measure, by name."""
        return {name: measure.metric.compute() for name, measure in self.measures.items()}
