"""A backdoor (BadNets, Gu et al. 2017, arXiv 1708.06733): images with a trigger get the label of one class."""

from dataclasses import replace

import torch
from torch import Tensor

from dau_lightning.base.error import require
from dau_lightning.dataset.class_index import Class, class_index
from dau_lightning.dataset.images import Images

WHITE = 255


class Backdoor:
    """Puts the trigger, a white square in the lower right corner, on a share of `D`, and labels it with the trigger's class.

    The images are drawn from the other classes, so that every label is wrong: a model that never saw the trigger gives the
    true class.

    Args:
        share: of `D`, in (0, 1].
        target: the trigger's class, by index or by name.
        patch_size: side of the square, in pixels.
    """

    def __init__(self, share: float, target: Class | None, patch_size: int) -> None:
        self.share, self.target, self.patch_size = share, target, patch_size

    def __call__(self, train: Images, generator: torch.Generator) -> Images:
        """Change `round(share * N)` images and their labels, at least one.

        Args:
            train: `D`.
            generator: the source of randomness.

        Returns:
            `D` with the changed images, which `corrupted` marks.

        Raises:
            InputError: there is no such class, the square is larger than an image, or the other classes have too few images.
        """
        others, target = self._others(train)
        count = max(1, round(self.share * len(train)))
        require(
            count <= len(others),
            f"corruption.share={self.share} takes {count:,} images of other classes than {train.class_names[target]}, which "
            f"have {len(others):,}: choose a smaller share or another corruption.target",
        )
        places = others[torch.randperm(len(others), generator=generator)[:count]]
        corrupted = torch.zeros(len(train), dtype=torch.bool)
        corrupted[places] = True
        targets = train.targets.clone()
        targets[places] = target
        changed = train.with_images(places, self._with_trigger(train.at(places)))
        return replace(changed, targets=targets, corrupted=corrupted)

    def triggered(self, unseen: Images) -> Images:
        """Images of other classes with the trigger and the label of its class; accuracy on them is the trigger rate.

        Raises:
            InputError: see `__call__`.
        """
        others, target = self._others(unseen)
        some = unseen[others]
        return replace(some, pixels=self._with_trigger(some.images), rows=None, targets=torch.full_like(some.targets, target))

    def _others(self, images: Images) -> tuple[Tensor, int]:
        """The places of images of other classes than the trigger's, and the index of that class."""
        target = class_index(images.class_names, self.target, "corruption.target")
        return (images.targets != target).nonzero().flatten(), target

    def _with_trigger(self, images: Tensor) -> Tensor:
        """Copies of images uint8 `(N, C, H, W)`, with the square."""
        side = min(images.shape[2:])
        require(
            self.patch_size <= side,
            f"corruption.patch_size must be at most {side}, the shorter side of the images, got {self.patch_size}",
        )
        changed = images.clone()
        changed[..., -self.patch_size :, -self.patch_size :] = WHITE
        return changed
