"""Members and nonmembers on which the attacker's accuracy is measured, since it was not trained on them."""

import torch
from torch import Tensor

from dau_lightning.base.randomness import generator
from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.dataset.draw import balanced
from dau_lightning.dataset.images import Images

HELD_OUT = 1000  # the most members to hold out, and the most nonmembers


def fitted_and_unseen(data: UnlearningDataModule, seed: int) -> tuple[Images, dict[str, Images]]:
    """Members to train the attacker on, and other members and nonmembers to measure its accuracy on.

    Args:
        data: the data module of the running fit.
        seed: the seed of the draws, which are balanced over the classes.

    Returns:
        The members to train on, which are all of `D` but the members held out; and the samples held out,
        `{"members": ..., "nonmembers": ...}`: members from `D_r`, nonmembers from the split's part `judge`, or test images
        if that part is empty.
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
    """The mean of two shares, members with an output above 0.5 and nonmembers with one below 0.5, in percent; 50 is chance."""
    hits = (member_outputs > 0.5).float().mean() + (nonmember_outputs < 0.5).float().mean()
    return 50 * float(hits)
