"""The attacker outside the game: fitted on stored outputs of the defender before it, judged on unseen samples after it."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from dau_lightning.console import progress
from dau_lightning.datamodule import JointLoader, Order
from dau_lightning.error import TrainingError
from dau_lightning.mode import evaluating
from dau_lightning.module import LOG_EVERY
from dau_lightning.randomness import key

Judge = Callable[["Rows"], Tensor]
Loss = Callable[[Tensor, Tensor], Tensor]


class Rows(NamedTuple):
    """What the attacker sees of samples: predictions `(N, K)`, sensitivity `(N, K)`, labels `(N,)`."""

    prediction: Tensor
    sensitivity: Tensor
    targets: Tensor

    def at(self, index: Tensor | slice) -> "Rows":
        """The rows at an index, int64 `(M,)` or a slice."""
        return Rows(*(column[index] for column in self))


@torch.no_grad()
def observe_all(observe: Callable[[Tensor, Tensor], Rows], loader: JointLoader) -> tuple[Rows, Rows]:
    """Store what the attacker would see in one epoch of a loader's two parts, each pair of batches observed as one.

    Args:
        observe: images `(B, C, H, W)` and labels `(B,)` to rows, as in the game.
        loader: of two parts, such as members and nonmembers.

    Returns:
        The rows of the first and of the second part.
    """
    stored: tuple[list[Rows], list[Rows]] = ([], [])
    for step, batch in enumerate(loader):
        torch.manual_seed(key(loader.seed, "observation", step))
        (first, first_targets), (second, second_targets) = batch.values()
        seen = observe(torch.cat([first, second]), torch.cat([first_targets, second_targets]))
        for rows, part in zip(stored, (slice(0, len(first)), slice(len(first), None)), strict=True):
            rows.append(seen.at(part))
    return join(*stored[0]), join(*stored[1])


def join(*parts: Rows) -> Rows:
    """Rows one after another."""
    return Rows(*map(torch.cat, zip(*parts, strict=True)))


def pretrain(
    judge: Judge,
    optimizer: torch.optim.Optimizer,
    loss: Loss,
    rows: tuple[Rows, Rows],
    steps: int,
    batch_size: int,
    seed: int,
    record: Callable[[int, float], None],
) -> None:
    """Fit the attacker to tell members from nonmembers, in joint batches: batch-norm would hide the shift between two.

    Args:
        judge: rows to membership logits `(B,)`.
        optimizer: of the attacker's parameters.
        loss: member logits, nonmember logits to a scalar.
        rows: of members and of nonmembers.
        steps: of descent.
        batch_size: members a step, and as many nonmembers.
        seed: of order and dropout.
        record: takes a step and its loss, on every `LOG_EVERY`-th.

    Raises:
        TrainingError: a loss is not finite.
    """
    names = ("members", "nonmembers")
    orders = [Order(len(part.targets), batch_size, seed, name) for part, name in zip(rows, names, strict=True)]
    losses: list[Tensor] = []  # looked at now and then, so that the device is not synchronised at every step
    for step in progress(range(steps), "attacker pre-training"):
        torch.manual_seed(key(seed, "pretraining", step))
        members, nonmembers = (
            part.at(order.batch(step).to(part.targets.device)) for part, order in zip(rows, orders, strict=True)
        )
        membership = judge(join(members, nonmembers))
        value = loss(membership[:batch_size], membership[batch_size:])
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        losses.append(value.detach())
        if step % LOG_EVERY == 0 or step == steps - 1:
            finite = torch.isfinite(torch.stack(losses)).tolist()
            if not all(finite):
                first = step - len(losses) + 1 + finite.index(False)
                found = f"attacker pre-training: the loss is {float(losses[finite.index(False)])} at step {first}"
                raise TrainingError(f"{found}; the original is unchanged; try a smaller baseline.attacker_lr")
            record(step, float(value.detach()))
            losses = []


@torch.no_grad()
def outputs(attacker: nn.Module, judge: Judge, rows: Rows) -> Tensor:
    """The attacker's probability of "member", `(N,)`, in evaluation mode."""
    with evaluating(attacker):
        return judge(rows).sigmoid()


def balanced_accuracy(member_outputs: Tensor, nonmember_outputs: Tensor) -> float:
    """The mean of the shares of members above and of nonmembers below 0.5, in percent; 50 is chance."""
    hits = (member_outputs > 0.5).float().mean() + (nonmember_outputs < 0.5).float().mean()
    return 50 * float(hits)
