"""A finished run under audit: its models with their weights, its split, and their outputs, each computed once."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import inf
from typing import Any, NamedTuple

import torch
from torch import Tensor

from dau_lightning.audit.figure import NotEnough
from dau_lightning.base.randomness import generator
from dau_lightning.data.loader import PlainLoader
from dau_lightning.data.split import Split, emptied_share
from dau_lightning.dataset.images import Images
from dau_lightning.evaluation.trajectory import outputs_of
from dau_lightning.metric.auc import confidence_margin
from dau_lightning.network.defender import Defender
from dau_lightning.training.training import Mask, Method, Training

NO_UNSEEN = "the test set has no image of the forgotten classes: add some, so that forgotten images can be compared with them"
NO_RETRAIN = (
    "there is no Retrain to compare with: retrains=4 trains it and four more, each in about the time of the original; for an "
    "original that was trained elsewhere, make the run with reference=train"
)


OTHER_RECIPE = "it needs models that were trained like the original, and how that was trained is not known here"


class Outputs(NamedTuple):
    """Of N images: logits float32 `(N, K)` and features float32 `(N, D)`, on the CPU."""

    logits: Tensor
    features: Tensor


@dataclass
class Case:
    """A finished run and everything that the tests ask of it.

    Attributes:
        split: the run's split.
        training: trains further models by the run's recipe, into the run's store.
        method: makes the run's method.
        mask: the weights to keep; empty for dense networks.
        models: by kind: `original`, `method`, and where there is one, `retrain`; the tests add further ones.
        retrains: the number of further Retrains that may be trained.
        references: the number of reference models that may be trained.
        shadows: the number of shadow models that may be trained; 0 without references.
        deadline: the time, as `time.monotonic` tells it, after which no further model is trained.
        own_recipe: whether the original was trained by `training`'s recipe, so that models like it can be trained.
        seconds: how long the training of `original` and of `method` took.
        shadow_outputs: by kind, see `shadows.shadow_outputs`.
        noisy_right: by kind, see `measure.residual_knowledge`.
        known: outputs by kind of model and part, filled as they are asked for.
    """

    split: Split
    training: Training
    method: Method
    mask: Mask
    models: dict[str, Defender]
    retrains: int = 0
    references: int = 0
    shadows: int = 0
    deadline: float = inf
    own_recipe: bool = True
    seconds: Mapping[str, float] = field(default_factory=dict)
    shadow_outputs: dict[str, Any] = field(default_factory=dict)
    noisy_right: dict[str, Tensor] = field(default_factory=dict)
    known: dict[tuple[str, str], Outputs] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The run's seed."""
        return self.training.seed

    @property
    def whole_classes(self) -> bool:
        """Whether every forgotten image is of a class without retain images."""
        return emptied_share(self.split) == 1

    @property
    def like_unseen(self) -> bool:
        """Whether a model without the forget set treats it like unseen images; not if labels are wrong or a score chose it."""
        return not (self.split.wrong_labels or self.split.chosen)

    def counts(self, *names: str) -> dict[str, int]:
        """The numbers of further models by name: `retrains`, `references`, `shadows`."""
        return {name: getattr(self, name) for name in names}

    def model(self, kind: str) -> Defender:
        """The model of a kind.

        Raises:
            NotEnough: there is no Retrain.
        """
        if kind not in self.models:
            raise NotEnough(NO_RETRAIN)
        return self.models[kind]

    def part(self, name: str) -> Images:
        """The images of a part; `test` are all test images, `unseen` those of the classes that the forget set has.

        Raises:
            NotEnough: there is no such image.
        """
        if name not in ("test", "unseen"):
            return getattr(self.split, name)
        everything = joined(self.split.test_retain, self.split.test_forget)
        if name == "test":
            return everything
        unseen = everything[torch.isin(everything.targets, self.split.forget.targets)]
        if not len(unseen):
            raise NotEnough(NO_UNSEEN)
        return unseen

    def outputs(self, kind: str, part: str) -> Outputs:
        """Logits and features of a model on a part."""
        if (kind, part) not in self.known:
            self.known[kind, part] = self.outputs_on(self.model(kind), self.part(part))
        return self.known[kind, part]

    def outputs_on(self, model: Defender, images: Images) -> Outputs:
        """Logits and features of any model on any images."""
        device = self.training.device
        loader = PlainLoader(images, self.training.transform)
        found = outputs_of(model.to(device), {"": loader}, device)[""]
        model.cpu()
        return Outputs(*found)

    def accuracy(self, model: Defender, images: Images) -> float:
        """The accuracy of any model on any images, in [0, 1]."""
        return float((self.outputs_on(model, images).logits.argmax(1) == images.targets).double().mean())

    def right(self, kind: str, part: str) -> Tensor:
        """1 where a model of the run is right on a part, else 0; float64 `(N,)`."""
        return (self.outputs(kind, part).logits.argmax(1) == self.part(part).targets).double()

    def margins(self, kind: str, part: str) -> Tensor:
        """`phi = log p_y - log(1 - p_y)` of a model on a part, float64 `(N,)`."""
        return confidence_margin(self.outputs(kind, part).logits, self.part(part).targets)

    def draws(self, name: str) -> torch.Generator:
        """The randomness of a test, the same for every model."""
        return generator(self.seed, "audit", name)


def joined(first: Images, second: Images) -> Images:
    """The images of two parts, one part after the other."""
    targets, ids = torch.cat([first.targets, second.targets]), first.ids + second.ids
    if first.rows is not None and second.rows is not None and first.pixels is second.pixels:
        return Images(first.pixels, targets, first.class_names, ids, rows=torch.cat([first.rows, second.rows]))
    return Images(torch.cat([first.images, second.images]), targets, first.class_names, ids)
