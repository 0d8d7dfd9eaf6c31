"""Which images of a part a defender classifies correctly, for methods that stop or go back by it."""

import torch
from torch import Tensor

from dau_lightning.data.loader import PlainLoader
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.network.defender import Defender
from dau_lightning.training.mode import eager, evaluating, float32


@torch.no_grad()
def correct(defender: Defender, images: Images, transform: Transform) -> Tensor:
    """Whether the defender classifies each image correctly, bool `(N,)`, in evaluation mode and float32, not augmented.

    Args:
        defender: its mode does not change.
        images: on the defender's device.
        transform: turns pixels into inputs.
    """
    with evaluating(defender), float32(images.images.device), eager():
        batches = [defender(batch.images)[0].argmax(1) == batch.targets for batch in PlainLoader(images, transform)]
    return torch.cat(batches)
