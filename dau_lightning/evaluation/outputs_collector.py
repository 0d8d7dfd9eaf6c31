"""Computes the outputs of a run's models on the same samples; `outputs.py` writes and reads their file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import lightning as L
import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics import Metric

from dau_lightning.base.randomness import generator
from dau_lightning.data.loader import PlainLoader
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.evaluation.outputs import FEATURES, SAMPLES, SHOWN, THUMBNAIL, Outputs
from dau_lightning.evaluation.trajectory import ROLES, Trajectory, measured, outputs_of
from dau_lightning.network.defender import Defender

PARTS = "retain", "forget", "test_retain", "test_forget", "val"
WITH_FEATURES = "retain", "forget", "val"


@dataclass
class OutputsCollector:
    """Draws samples from every part of a split, and keeps the outputs of each model on them.

    Attributes:
        split: the parts to draw from.
        seed: the seed of the draws.
        transform: turns pixels into inputs.
        attack: the attack that gives MIA.
        points: number of steps of the unlearning at which the trajectory is measured; 0 for none.
        outputs: float32 on the CPU, `MODEL/PART/logits` `(N, K)` and `MODEL/PART/features` `(M, D)`.
    """

    split: Split
    seed: int
    transform: Transform
    attack: Metric
    points: int
    outputs: dict[str, Tensor] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Draw at most `SAMPLES` samples from each part that is not empty."""
        sizes = {part: len(getattr(self.split, part)) for part in PARTS}
        self.drawn = {
            part: torch.randperm(size, generator=generator(self.seed, "evidence", part))[:SAMPLES].sort().values
            for part, size in sizes.items()
            if size
        }

    def images(self, part: str) -> Images:
        """The drawn images of a part."""
        return getattr(self.split, part)[self.drawn[part]]

    def collect(self, kind: str, defender: Defender, device: torch.device) -> None:
        """Compute the outputs of a model on the drawn samples, on `device`, and keep them."""
        loaders = {part: PlainLoader(self.images(part), self.transform) for part in self.drawn}
        for part, (logits, features) in outputs_of(defender.to(device), loaders, device).items():
            self.outputs[f"{kind}/{part}/logits"] = logits
            if part in WITH_FEATURES:
                self.outputs[f"{kind}/{part}/features"] = features[_evenly(len(features), FEATURES)]
        defender.cpu()

    def watchers(self) -> list[L.Callback]:
        """The callbacks that watch the unlearning: the trajectory, if it is measured."""
        parts = {part: self.images(part) for part in ROLES}
        return [Trajectory(parts, self.transform, self.attack, self.points)] if self.points else []

    def save(self, folder: Path, labels: Mapping[str, str], method: str, dynamics: Sequence[Mapping[str, float]]) -> None:
        """Write the outputs.

        Args:
            folder: the run folder.
            labels: names of the models by kind.
            method: the kind of the unlearned model.
            dynamics: the rows that `Trajectory` measured.
        """
        largest = torch.finfo(torch.float16).max
        arrays = {name: values.clamp(-largest, largest).half() for name, values in self.outputs.items()}
        arrays |= {f"{part}/targets": self.images(part).targets for part in self.drawn}
        forget = self.images("forget")
        arrays["forget/shown"] = _evenly(len(forget), SHOWN)
        shown = forget[arrays["forget/shown"]]
        arrays["forget/thumbnails"] = _thumbnails(shown.images)
        arrays |= self._dynamics(dynamics)
        plain = {name: tensor.cpu().numpy() for name, tensor in arrays.items()}
        Outputs(plain, dict(labels), method, list(shown.class_names)).write(folder)

    def _dynamics(self, rows: Sequence[Mapping[str, float]]) -> dict[str, Tensor]:
        """The trajectory by column, and Retrain's values on the same samples."""
        if not rows:
            return {}
        arrays = {f"dynamics/{name}": torch.tensor([row[name] for row in rows]) for name in rows[0]}
        if "retrain/forget/logits" in self.outputs:
            logits = {part: self.outputs[f"retrain/{part}/logits"] for part in ROLES}
            targets = {part: self.images(part).targets for part in ROLES}
            reference = measured(logits, targets, self.attack)
            arrays |= {f"dynamics/reference/{name}": torch.tensor([value]) for name, value in reference.items()}
        return arrays


def _evenly(count: int, limit: int) -> Tensor:
    """At most `limit` indices, spread evenly over `count` samples; int64."""
    return torch.linspace(0, count - 1, min(count, limit)).round().long()


def _thumbnails(images: Tensor) -> Tensor:
    """Images uint8 `(S, C, H, W)` with a longer side of at most `THUMBNAIL` pixels."""
    scale = THUMBNAIL / max(images.shape[2:])
    if scale >= 1:
        return images
    return F.interpolate(images.float(), scale_factor=scale, mode="area").round().byte()
