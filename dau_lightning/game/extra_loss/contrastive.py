"""CoUn's contrastive loss (Khalil et al. 2025) beside a method's own loss."""

from collections.abc import Mapping

from torch import Tensor

from dau_lightning.baseline.coun import features, info_nce
from dau_lightning.data.loader import Batch
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.sgd import SGDMethod


class Contrastive:
    """`w InfoNCE` between two views of the retain batch, which pass through the network for this loss alone; see `CoUn`.

    Args:
        weight: `w`.
        temperature: see `coun.info_nce`.
        view_padding: `crop_padding` of the second view, see `Transform.second_view`.
        view_flip: `flip` of the second view, likewise.
    """

    part = "retain"

    def __init__(self, weight: float, temperature: float, view_padding: int | None, view_flip: bool | None) -> None:
        self.weight, self.temperature, self.view = weight, temperature, (view_padding, view_flip)

    def begin(self, module: UnlearningModule) -> None:
        """Change nothing."""

    def loss(self, module: SGDMethod, batch: Mapping[str, Batch], forget_logits: Tensor | None) -> Tensor:
        """`w InfoNCE`."""
        first, second = batch["retain"], module.second_view("retain", *self.view)
        return self.weight * info_nce(features(module, first), features(module, second), self.temperature)
