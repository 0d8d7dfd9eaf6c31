"""Augmented batches: ours, on the device or from files, against torchvision's transforms in a DataLoader with two workers."""

from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.clock import medians, now
from benchmarks.table import Table
from benchmarks.workload import Workload
from dau_lightning.dataset.images import Images
from dau_lightning.dataset.mapped import MappedImages, mapped
from dau_lightning.storage.seal import save_tensors

BATCH_SIZE, IMAGES = 128, 10_000


class Plain(Dataset[tuple[torch.Tensor, int]]):
    """As a torchvision user writes it."""

    def __init__(self, images: Images, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.images, self.targets = images.images, images.targets
        self.transform = v2.Compose(
            [
                v2.RandomCrop(32, padding=4),
                v2.RandomHorizontalFlip(),
                v2.ToDtype(torch.float32, scale=True),
                v2.Normalize(list(mean), list(std)),
            ]
        )

    def __len__(self) -> int:
        """Number of images."""
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        """An image and its label."""
        return self.transform(self.images[index]), int(self.targets[index])


def measure(device: torch.device) -> Table:
    """Images a second of both, epochs by turns."""
    work = Workload("resnet9", "finetune", [f"baseline.batch_size={BATCH_SIZE}"], IMAGES)
    split, transform = work.split_on(device), work.training.transform
    ours = work.module().loader(lambda name: getattr(split, name), transform, seed=0)
    file = work.training.folder / "images.safetensors"
    save_tensors(file, {"images": work.split.retain.images}, {})
    stored = replace(work.split.retain, pixels=MappedImages([mapped(file)]), rows=None).to(device)
    from_files = work.module().loader(lambda name: stored, transform, seed=0)
    plain = Plain(work.split.retain, transform.mean, transform.std)
    pin = device.type == "cuda"
    theirs = DataLoader(plain, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True, pin_memory=pin)

    def rate(loader: Iterable[Any]) -> float:
        start, count = now(device), 0
        for batch in loader:
            count += len(batch["retain"].targets if loader is not theirs else batch[0].to(device, non_blocking=True))
        return count / (now(device) - start)

    made = {"images/s": ours, "from files": from_files, "DataLoader": theirs}
    rates = medians({name: partial(rate, loader) for name, loader in made.items()})
    rows = [{"device": device.type, **rates, "ratio": rates["images/s"] / rates["DataLoader"]}]
    return Table("Loading 32x32 images: crop, flip, normalise", rows, "DataLoader: torchvision's transforms, two workers")
