"""The parts of a split on the trainer's device, as batches."""

from collections.abc import Callable

import lightning as L
import torch

from dau_lightning.base.devices import rank, world_size
from dau_lightning.data.loader import JointLoader, PassLoader, PlainLoader
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images

Loader = JointLoader | PassLoader


class UnlearningDataModule(L.LightningDataModule):
    """Training batches as the method wants them, for `fit`, and one plain loader a part for `test`.

    Args:
        split: the parts.
        transform: pixels to inputs.
        seed: of order and augmentation.
        loader: `UnlearningModule.loader` of the method to train.
        evaluate: names of the parts to test, in that order.
    """

    def __init__(
        self,
        split: Split,
        transform: Transform,
        seed: int,
        loader: Callable[..., Loader] | None = None,
        evaluate: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.split, self.transform, self.seed, self.loader, self.evaluate = split, transform, seed, loader, evaluate

    def part(self, name: str) -> Images:
        """A part of the split on the trainer's device."""
        images: Images = getattr(self.split, name)
        device = self.trainer.strategy.root_device if self.trainer else torch.device("cpu")
        return Images(images.images.to(device), images.targets.to(device), images.class_names, images.ids)

    def train_dataloader(self) -> Loader:
        """The method's loader."""
        assert self.loader, "this data module only evaluates"
        return self.loader(self.part, self.transform, self.seed, rank(), world_size())

    def test_dataloader(self) -> list[PlainLoader]:
        """One loader a part, in the order of `evaluate`."""
        return [PlainLoader(self.part(name), self.transform) for name in self.evaluate]

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        """Nothing to move: the images are on the device."""
        return batch
