"""Repeats an unlearning that costs too much accuracy on the retained images, from the same weights at half the rate."""

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from dau_lightning.base.randomness import generator
from dau_lightning.training.module import UnlearningModule
from dau_lightning.training.plain_pass import accuracy

PROBE = 1000  # retained images, at most, on which an attempt is measured
RUINED = 5.0  # points of RA: a model that lost more is not handed over


class Attempts:
    """Measures RA on a fixed probe of the retained images after each attempt, and decides how to go on.

    An attempt is a whole training of `epochs` epochs. If it diverged, or RA fell by more than `largest_loss`, the next one
    starts from the same weights with half the learning rate. After the last attempt, the weights of the one that lost least
    stay; if it lost more than `RUINED` points, those from before the unlearning do. All state is in the module's memory, and so
    in its checkpoints.

    Args:
        number: the most attempts.
        largest_loss: points of RA that an attempt may cost; None: there is one attempt, and nothing is measured.
    """

    def __init__(self, number: int, largest_loss: float | None) -> None:
        self.largest_loss = largest_loss
        self.number = 1 if largest_loss is None else number

    def measure_start(self, module: UnlearningModule) -> None:
        """Remember the defender and its RA before anything changes it; nothing without a margin."""
        if self.largest_loss is not None:
            module.memory |= {"untouched": _copy(module.defender), "start_RA": _retain_accuracy(module)}

    def begin(self, module: UnlearningModule) -> None:
        """Remember the weights before the first step; nothing in later steps, or without a margin."""
        if self.largest_loss is not None and "before" not in module.memory:
            module.memory |= {"before": _copy(module), "attempt": 0, "least_loss": torch.inf, "diverged": ""}

    def rate(self, module: UnlearningModule) -> float:
        """Return the factor of the learning rate in this attempt."""
        return 0.5 ** module.memory.get("attempt", 0)

    def diverged(self, module: UnlearningModule, reason: str) -> bool:
        """Go back to the weights from before the unlearning, and skip what is left of the attempt; False without a margin."""
        if self.largest_loss is None:
            return False
        _load(module, module.memory["before"])
        module.memory["diverged"] = reason
        return True

    def over(self, module: UnlearningModule) -> bool:
        """Whether the attempt has diverged."""
        return bool(module.memory.get("diverged"))

    def end(self, module: UnlearningModule) -> bool:
        """Measure an attempt that has just ended.

        Returns:
            Whether another attempt follows; the module then has the weights from before the unlearning.
        """
        memory = module.memory
        if self.largest_loss is None:
            return False
        diverged, memory["diverged"] = memory["diverged"], ""
        loss = torch.inf if diverged else memory["start_RA"] - _retain_accuracy(module)
        module.findings["attempts"] = memory["attempt"] + 1
        if loss < memory["least_loss"]:
            memory |= {"least_loss": loss, "best": _copy(module)}
        if loss <= self.largest_loss:
            return False
        more = memory["attempt"] + 1 < self.number
        ending = "again from the start with half the rate" if more else "that was the last attempt"
        found = f"diverged, {diverged}" if diverged else f"cost {loss:.1f} points of RA"
        print(f"{module.label}: attempt {memory['attempt'] + 1} {found}; {ending}")
        if more:
            memory["attempt"] += 1
            _load(module, memory["before"])
            return True
        undone = memory["least_loss"] > RUINED
        _load(module, memory["before" if undone else "best"])
        if undone:
            module.defender.load_state_dict(memory["untouched"])  # an extra loss may have changed those before the first step
        module.findings["undone"] = int(undone)
        return False


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


def _load(module: UnlearningModule, weights: Mapping[str, Tensor]) -> None:
    """Load the weights of the module and all its parts, and forget the momentum that led to others."""
    module.load_state_dict(weights)
    for optimizer in module.trainer.optimizers:
        optimizer.state.clear()


def _retain_accuracy(module: UnlearningModule) -> float:
    """The accuracy on the probe, in percent."""
    retain = module.data.part("retain")
    drawn = torch.randperm(len(retain), generator=generator(module.seed, module.phase, "probe"))[:PROBE]
    return 100 * accuracy(module.defender, retain[drawn], module.data.transform)
