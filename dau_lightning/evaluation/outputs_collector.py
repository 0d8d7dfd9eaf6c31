"""Gathers the evidence of a run: the outputs of its models on the same few samples, in the passes that are made anyway."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from dau_lightning.base.randomness import generator
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.evaluation.outputs import FEATURES, FILE, SAMPLES, SHOWN, THUMBNAIL, Outputs
from dau_lightning.evaluation.trajectory import ROLES, Trajectory, measured
from dau_lightning.storage.store import save_weights

PARTS = "retain", "forget", "test_retain", "test_forget", "val"
WITH_FEATURES = "retain", "forget", "val"


class OutputsCallback(L.Callback):
    """Keeps logits and features of drawn samples during a test; it draws them in the order of the part.

    Args:
        parts: names of the first test loaders, in their order.
        drawn: sorted indices into each part that is to be recorded.
    """

    def __init__(self, parts: list[str], drawn: Mapping[str, Tensor]) -> None:
        self.parts, self.drawn = parts, drawn
        self.kept: dict[str, tuple[Tensor, Tensor]] = {}  # logits and features, whole from the start: see `Evaluation._keep`
        self.seen = dict.fromkeys(parts, 0)

    def on_test_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Listen to the features that the defender gives beside its logits."""
        defender: Any = pl_module.defender
        self.handle = defender.register_forward_hook(self._listen)

    def _listen(self, _: Any, __: Any, outputs: tuple[Tensor, Tensor]) -> None:
        self.features = outputs[1]

    def on_test_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Keep what was drawn of a batch; parts beyond the recorded ones only judge."""
        if dataloader_idx >= len(self.parts):
            return
        part = self.parts[dataloader_idx]
        first, last = self.seen[part], self.seen[part] + len(outputs)
        drawn = self.drawn[part]
        if first == 0:
            sizes = outputs.shape[1], self.features.shape[1]
            self.kept[part] = torch.empty(len(drawn), sizes[0]), torch.empty(len(drawn), sizes[1])
        places = slice(*torch.searchsorted(drawn, torch.tensor([first, last])).tolist())
        for kept, values in zip(self.kept[part], (outputs, self.features), strict=True):
            kept[places] = values[(drawn[places] - first).to(values.device)].float().cpu()
        self.seen[part] = last

    def on_test_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop listening."""
        self.handle.remove()

    def outputs(self) -> dict[str, tuple[Tensor, Tensor]]:
        """Logits `(N, K)` and features `(N, D)` of every part."""
        return self.kept


@dataclass
class OutputsCollector:
    """What a run shows of its samples.

    Attributes:
        split: the parts.
        seed: of the draw.
        transform: pixels to inputs.
        attack: the one of MIA-efficacy.
        points: of the unlearning at which it is measured; 0 for none.
    """

    split: Split
    seed: int
    transform: Transform
    attack: Metric
    points: int
    recorders: dict[str, OutputsCallback] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw the samples: at most `SAMPLES` of each part that has any."""
        sizes = {part: len(getattr(self.split, part)) for part in PARTS}
        self.drawn = {
            part: torch.randperm(size, generator=generator(self.seed, "evidence", part))[:SAMPLES].sort().values
            for part, size in sizes.items()
            if size
        }

    def images(self, part: str) -> Images:
        """The drawn images of a part."""
        return getattr(self.split, part)[self.drawn[part]]

    def recorder(self, kind: str) -> OutputsCallback:
        """The callback that watches the test of a model, whose parts are those of `drawn`."""
        self.recorders[kind] = OutputsCallback([*self.drawn], self.drawn)
        return self.recorders[kind]

    def watchers(self) -> list[L.Callback]:
        """The callbacks that watch the unlearning."""
        parts = {part: self.images(part) for part in ROLES}
        return [Trajectory(parts, self.transform, self.attack, self.points)] if self.points else []

    def save(
        self, folder: Path, labels: Mapping[str, str], method: str, title: str, dynamics: Sequence[Mapping[str, float]]
    ) -> None:
        """Write the evidence.

        Args:
            folder: of the run.
            labels: of the models by kind.
            method: the kind of the unlearned one.
            title: what was forgotten.
            dynamics: rows of `Trajectory`.
        """
        arrays = {f"{part}/targets": self.images(part).targets for part in self.drawn}
        for kind, recorder in self.recorders.items():
            for part, (logits, features) in recorder.outputs().items():
                arrays[f"{kind}/{part}/logits"] = _half(logits)
                if part in WITH_FEATURES:
                    arrays[f"{kind}/{part}/features"] = _half(features[_evenly(len(features), FEATURES)])
        forget = self.images("forget")
        shown = forget[_evenly(len(forget), SHOWN)]
        arrays["forget/shown"] = _evenly(len(forget), SHOWN)
        arrays["forget/thumbnails"] = _thumbnails(shown.images)
        arrays |= self._dynamics(dynamics)
        plain = {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
        evidence = Outputs(plain, dict(labels), method, title, list(shown.class_names), list(shown.ids))
        save_weights(folder / FILE, arrays, evidence.about())

    def _dynamics(self, rows: Sequence[Mapping[str, float]]) -> dict[str, Tensor]:
        """The rows by column, and what Retrain reaches on the same samples."""
        if not rows:
            return {}
        arrays = {f"dynamics/{name}": torch.tensor([row[name] for row in rows]) for name in rows[0]}
        if retrain := self.recorders.get("retrain"):
            logits = {part: outputs[0] for part, outputs in retrain.outputs().items()}
            targets = {part: self.images(part).targets for part in ROLES}
            reference = measured(logits, targets, self.attack)
            arrays |= {f"dynamics/reference/{name}": torch.tensor([value]) for name, value in reference.items()}
        return arrays


def _half(values: Tensor) -> Tensor:
    """As float16, within its range."""
    largest = torch.finfo(torch.float16).max
    return values.clamp(-largest, largest).half()


def _evenly(count: int, limit: int) -> Tensor:
    """At most `limit` indices, evenly over `count` samples; int64."""
    return torch.linspace(0, count - 1, min(count, limit)).round().long()


def _thumbnails(images: Tensor) -> Tensor:
    """Images uint8 `(S, C, H, W)` with a longer side of at most `THUMBNAIL` pixels."""
    scale = THUMBNAIL / max(images.shape[2:])
    if scale >= 1:
        return images
    return F.interpolate(images.float(), scale_factor=scale, mode="area").round().byte()
