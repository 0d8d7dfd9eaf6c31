"""The attacker outside the game: fitted on stored outputs of the defender before it, judged on unseen samples after it."""

from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from dau_lightning.base.console import progress
from dau_lightning.base.devices import count, keep_alike, rank
from dau_lightning.base.error import TrainingError
from dau_lightning.base.randomness import generator, reseed
from dau_lightning.data.datamodule import UnlearningDataModule
from dau_lightning.data.loader import JointLoader, Order
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.draw import balanced
from dau_lightning.dataset.images import Images
from dau_lightning.game.attacker_input import AttackerInputs, join
from dau_lightning.training.mode import evaluating
from dau_lightning.training.module import LOG_EVERY

ATTENTION = 2**24  # weights of a head, the square of the classes a row, that the attacker may make at a time outside of steps
HELD_OUT = 1000  # members and nonmembers, at most, that only judge the attacker

Judge = Callable[[AttackerInputs], Tensor]
Loss = Callable[[AttackerInputs, AttackerInputs], Tensor]
Observe = Callable[[Tensor, Tensor], AttackerInputs]


def fitted_and_unseen(data: UnlearningDataModule, seed: int) -> tuple[Images, dict[str, Images]]:
    """The members that the attacker is fitted on, and members and nonmembers that only judge it.

    Args:
        data: of a fit.
        seed: of the draw, even over the classes.

    Returns:
        All of `D` but the unseen members, which are of `D_r`; nonmembers are judges, or else test images.
    """
    train, retain = data.part("train"), data.part("retain")
    held = balanced(retain.targets.cpu(), min(HELD_OUT, 1 + len(retain) // 10), generator(seed, "held out"))
    held_ids = {retain.ids[index] for index in held.tolist()}
    fitted = torch.tensor([index for index, name in enumerate(train.ids) if name not in held_ids])
    judges = data.part("judge" if len(data.split.judge) else "test_retain")
    drawn = balanced(judges.targets.cpu(), min(HELD_OUT, len(judges)), generator(seed, "judges"))
    return train[fitted], {"members": retain[held], "nonmembers": judges[drawn]}


def observe_parts(
    observe: Observe, parts: Mapping[str, Images], batch_size: int, transform: Transform, seed: int, epoch: int = 0
) -> tuple[AttackerInputs, AttackerInputs]:
    """What the attacker sees of two parts, observed as in the game (joint augmented batches), the larger one visited once.

    Args:
        observe: images `(B, C, H, W)` and labels `(B,)` to rows.
        parts: two of them.
        batch_size: images a step of each.
        transform: pixels to inputs.
        seed: of order and augmentation.
        epoch: of the batches; each has another order and augmentation.

    Returns:
        The rows of the first and of the second part.
    """
    larger_first = dict(sorted(parts.items(), key=lambda part: -len(part[1])))
    loader = JointLoader(larger_first, dict.fromkeys(larger_first, batch_size), transform, seed, rank(), count())
    loader.set_epoch(epoch)
    rows = observe_all(observe, loader)
    return rows if [*larger_first] == [*parts] else (rows[1], rows[0])


@torch.no_grad()
def observe_all(observe: Observe, loader: JointLoader) -> tuple[AttackerInputs, AttackerInputs]:
    """Store what the attacker would see in one epoch of a loader's two parts, each pair of batches observed as one.

    Args:
        observe: images `(B, C, H, W)` and labels `(B,)` to rows, as in the game.
        loader: of two parts, such as members and nonmembers.

    Returns:
        The rows of the first and of the second part.
    """
    stored: tuple[list[AttackerInputs], list[AttackerInputs]] = ([], [])
    for step, batch in enumerate(loader, loader.epoch * len(loader)):
        reseed(loader.seed, "observation", step)
        (first, first_targets), (second, second_targets) = batch.values()
        seen = observe(torch.cat([first, second]), torch.cat([first_targets, second_targets]))
        for rows, part in zip(stored, seen.split([*loader.batch_sizes.values()]), strict=True):
            rows.append(part)
    return join(*stored[0]), join(*stored[1])


def pretrain(
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    observed: Callable[[int], tuple[AttackerInputs, AttackerInputs]],
    refresh: int | None,
    steps: range,
    batch_size: int,
    seed: int,
    record: Callable[[int, float], None],
    before: Callable[[int], None] = lambda step: None,
) -> None:
    """Fit the attacker to tell members from nonmembers, in joint batches: batch-norm would hide the shift between two.

    Args:
        optimizer: of the attacker's parameters.
        loss: what the attacker minimises in the game, of member and of nonmember rows, judged as one batch.
        observed: an epoch's number to the rows of members and of nonmembers, as many each time.
        refresh: steps after which the rows of the next epoch take the place of the former; None for never.
        steps: of descent; a resumed one does not start with 0.
        batch_size: members a step, and as many nonmembers.
        seed: of order and dropout.
        record: takes a step and its loss, on every `LOG_EVERY`-th.
        before: called with a step before it.

    Raises:
        TrainingError: a loss is not finite.
    """
    rows, names = observed(steps.start // refresh if refresh else 0), ("members", "nonmembers")
    orders = [Order(len(part.targets), batch_size, seed, name) for part, name in zip(rows, names, strict=True)]
    losses: list[Tensor] = []  # looked at now and then, so that the device is not synchronised at every step
    for step in progress(steps, "attacker pre-training"):
        before(step)
        if refresh and step % refresh == 0 and step > steps.start:
            rows = observed(step // refresh)
        reseed(seed, "pretraining", step)
        members, nonmembers = (
            part.at(order.batch(step).to(part.targets.device, non_blocking=True))
            for part, order in zip(rows, orders, strict=True)
        )
        value = loss(members, nonmembers)
        optimizer.zero_grad()
        value.backward()
        keep_alike(optimizer)
        optimizer.step()
        losses.append(value.detach())
        if step % LOG_EVERY == 0 or step == steps[-1]:
            finite = torch.isfinite(torch.stack(losses)).tolist()
            if not all(finite):
                first = step - len(losses) + 1 + finite.index(False)
                found = f"attacker pre-training: the loss is {float(losses[finite.index(False)])} at step {first}"
                raise TrainingError(f"{found}; the original is unchanged; try a smaller baseline.attacker_lr")
            record(step, float(value.detach()))
            losses = []


@torch.no_grad()
def outputs(attacker: nn.Module, judge: Judge, rows: AttackerInputs) -> Tensor:
    """The attacker's probability of "member", `(N,)`, in evaluation mode; of several attackers the mean."""
    together = max(1, ATTENTION // rows.prediction.shape[1] ** 2)
    with evaluating(attacker):
        passes = [judge(rows.at(slice(first, first + together))) for first in range(0, len(rows.targets), together)]
        return torch.cat(passes).sigmoid().reshape(len(rows.targets), -1).mean(1)


def balanced_accuracy(member_outputs: Tensor, nonmember_outputs: Tensor) -> float:
    """The mean of the shares of members above and of nonmembers below 0.5, in percent; 50 is chance."""
    hits = (member_outputs > 0.5).float().mean() + (nonmember_outputs < 0.5).float().mean()
    return 50 * float(hits)
