"""The attacker's accuracy on members and nonmembers that it was not fitted on."""

import torch
from torch import Tensor

from dau_lightning.base.randomness import generator
from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.dataset.draw import balanced
from dau_lightning.dataset.images import Images

HELD_OUT = 1000  # members, and nonmembers, at most


def fitted_and_unseen(data: UnlearningDataModule, seed: int) -> tuple[Images, dict[str, Images]]:
    """Members to fit the attacker on, and members and nonmembers to measure its accuracy on.

    Args:
        data: the data module of a fit.
        seed: of the draws, which are even over the classes.

    Returns:
        All of `D` but the unseen members, and `{"members": ..., "nonmembers": ...}`: members from `D_r`; nonmembers from
        the split's part `judge`, or test images where that part is empty.
    """
    train, retain = data.part("train"), data.part("retain")
    drawn = balanced(retain.targets.cpu(), min(HELD_OUT, 1 + len(retain) // 10), generator(seed, "held out"))
    members = retain[drawn]
    held_out = set(members.ids)
    fitted = torch.tensor([index for index, name in enumerate(train.ids) if name not in held_out])
    others = data.part("judge" if len(data.split.judge) else "test_retain")
    drawn = balanced(others.targets.cpu(), min(HELD_OUT, len(others)), generator(seed, "judges"))
    return train[fitted], {"members": members, "nonmembers": others[drawn]}


def balanced_accuracy(member_outputs: Tensor, nonmember_outputs: Tensor) -> float:
    """The mean of the shares of members above 0.5 and of nonmembers below 0.5, in percent; 50 is chance."""
    hits = (member_outputs > 0.5).float().mean() + (nonmember_outputs < 0.5).float().mean()
    return 50 * float(hits)
