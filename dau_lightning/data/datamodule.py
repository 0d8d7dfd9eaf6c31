"""Lightning's data module for a split: moves the parts to the trainer's device and makes their loaders."""

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
    """The method's training batches for `fit`, and one plain loader for each part for `test`.

    Args:
        split: the parts.
        transform: turns pixels into inputs.
        seed: the seed for order and augmentation.
        loader: `UnlearningModule.loader` of the method to train; None for a data module that only tests.
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
        return images.to(self.trainer.strategy.root_device if self.trainer else torch.device("cpu"))

    def train_dataloader(self) -> Loader:
        """The method's loader."""
        assert self.loader, "this data module only evaluates"
        return self.loader(self.part, self.transform, self.seed, rank(), world_size())

    def test_dataloader(self) -> list[PlainLoader]:
        """One loader for each part, in the order of `evaluate`."""
        return [PlainLoader(self.part(name), self.transform) for name in self.evaluate]

    def transfer_batch_to_device(self, batch: object, device: torch.device, dataloader_idx: int) -> object:
        """The batch as it is: the images are already on the device."""
        return batch
