"""Augmented batches: ours on the device against torchvision's transforms in a DataLoader with two workers."""

import torch
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

from benchmarks.clock import now
from benchmarks.table import Table
from benchmarks.workload import Workload
from dau_lightning.dataset import Images

BATCH_SIZE, IMAGES, EPOCHS = 128, 10_000, 5


class Plain(Dataset[tuple[torch.Tensor, int]]):
    """As a torchvision user writes it."""

    def __init__(self, images: Images, mean: tuple[float, ...], std: tuple[float, ...]) -> None:
        self.images = images
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
        return self.transform(self.images.images[index]), int(self.images.targets[index])


def measure(device: torch.device) -> Table:
    """Images a second of both, epochs by turns."""
    work = Workload("resnet9", "finetune", [f"baseline.batch_size={BATCH_SIZE}"], IMAGES)
    split, transform = work.split_on(device), work.training.transform
    ours = work.module().loader(lambda name: getattr(split, name), transform, seed=0)
    plain = Plain(work.split.retain, transform.mean, transform.std)
    theirs = DataLoader(plain, BATCH_SIZE, shuffle=True, drop_last=True, num_workers=2, persistent_workers=True)
    rates: dict[str, list[float]] = {"ours": [], "theirs": []}
    for _ in range(EPOCHS + 1):
        for name, loader in (("ours", ours), ("theirs", theirs)):
            start, count = now(device), 0
            for batch in loader:
                count += len(batch["retain"].targets) if isinstance(batch, dict) else len(batch[0].to(device))
            rates[name].append(count / (now(device) - start))
    medians = {name: sorted(rate[1:])[EPOCHS // 2] for name, rate in rates.items()}
    row = {"device": device.type, "images/s": medians["ours"], "DataLoader": medians["theirs"]}
    rows = [{**row, "ratio": medians["ours"] / medians["theirs"]}]
    return Table("Loading 32x32 images: crop, flip, normalise", rows, "DataLoader: torchvision's transforms, two workers")
