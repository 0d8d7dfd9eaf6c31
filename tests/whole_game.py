"""A whole game of three steps an epoch on the tiny world, with everything in it switched on, and callbacks that watch it."""

import copy
from functools import partial
from typing import Any

import lightning as L
import torch
from torch import Tensor, nn

from dau_lightning.dau import DAU
from dau_lightning.game.attacker import Attacker
from dau_lightning.game.objective import MinMax
from dau_lightning.game.penalty import none
from dau_lightning.game.regulariser import redundancy_reduction
from dau_lightning.game.sensitivity import Sensitivity
from dau_lightning.network.defender import Defender
from dau_lightning.training.attempts import Attempts

State = dict[str, Tensor]

SETTINGS: dict[str, Any] = {
    "seed": 0,
    "epochs": 1,
    "lr": 0.05,
    "momentum": 0.9,
    "weight_decay": 5e-4,
    "schedule": "constant",
    "milestones": [],
    "batch_norm": "batch",
    "retain_batch_size": 12,
    "forget_batch_size": 6,
    "val_batch_size": 6,
    "visits_per_step": None,
    "pairing": "random",
    "min_steps": 0,
    "attempts": Attempts(1, None),
    "attacker": Attacker,
    "attacker_input": "probabilities",
    "joint_batch": "forget_val",
    "label": "DAU",
    "attacker_lr": 1e-3,
    "attacker_steps": 1,
    "attacker_mode": "eval",
    "objective": MinMax(saturating=True),
    "penalty": none,
    "pretraining_steps": 0,
    "pretraining_batch_size": 6,
    "pretraining_refresh": None,
    "adversarial_weight": 0.9,
    "adversarial_steps": None,
    "regulariser": partial(redundancy_reduction, off_diagonal_weight=5e-3),
    "regulariser_weight": 0.1,
    "projector": nn.Identity,
    "term": {},
}


def sensitivity(**changes: Any) -> Sensitivity:
    """Two copies, a pass each."""
    settings = {"copies": 2, "noise_scale": 1.0, "divide": False, "norm": False, "gradient": False, "images_per_pass": 1}
    return Sensitivity(**(settings | changes))


def game(defender: Defender, **changes: Any) -> DAU:
    """The method around a defender; the attacker's weights continue the draws that made the defender's."""
    return DAU(**({"defender": defender, "sensitivity": sensitivity()} | SETTINGS | changes))


def state(module: nn.Module) -> State:
    """Parameters and buffers, num_batches_tracked included."""
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}


def running(module: nn.Module) -> State:
    """The running statistics."""
    return {name: tensor for name, tensor in state(module).items() if "running" in name or "tracked" in name}


def gradients(module: nn.Module) -> State:
    """The gradients of the parameters that have one."""
    return {name: parameter.grad.clone() for name, parameter in module.named_parameters() if parameter.grad is not None}


def same(first: State, second: State) -> bool:
    """Whether two states are equal to the bit."""
    return first.keys() == second.keys() and not changed(first, second)


def changed(first: State, second: State) -> set[str]:
    """The names of what differs."""
    return {name for name in first if not torch.equal(first[name], second[name])}


class StepRecord(L.Callback):
    """States at both ends of each step, the losses, and what stood when the defender's optimizer was about to step."""

    def __init__(self) -> None:
        self.starts: list[tuple[State, State]] = []  # of defender and attacker
        self.ends: list[tuple[State, State]] = []
        self.batches: list[Any] = []
        self.losses: list[float] = []
        self.defenders: list[nn.Module] = []  # before the step
        self.defender_gradients: list[State] = []
        self.attackers: list[nn.Module] = []  # as the defender meets them

    def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Before a step."""
        self.starts.append((state(pl_module.defender), state(pl_module.attacker.network)))
        self.defenders.append(copy.deepcopy(pl_module.defender.network))
        self.batches.append(batch)

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: Any, optimizer: torch.optim.Optimizer) -> None:
        """Before the defender's update."""
        if optimizer is trainer.optimizers[0]:
            self.defender_gradients.append(gradients(pl_module.defender.network))
            self.attackers.append(copy.deepcopy(pl_module.attacker.network))

    def on_train_batch_end(self, trainer: L.Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        """After a step."""
        self.ends.append((state(pl_module.defender), state(pl_module.attacker.network)))
        self.losses.append(float(outputs["loss"]))


class PassCount(L.Callback):
    """Forward passes of defender and attacker in each step."""

    def __init__(self, module: DAU) -> None:
        self.now, self.steps = [0, 0], list[tuple[int, int]]()
        for player, network in enumerate((module.defender.network, module.attacker.network)):
            network.register_forward_pre_hook(lambda *_, player=player: self.add(player))

    def add(self, player: int) -> None:
        """Count a pass."""
        self.now[player] += 1

    def on_train_batch_start(self, *_: Any) -> None:
        """Before a step."""
        self.now[:] = [0, 0]

    def on_train_batch_end(self, *_: Any) -> None:
        """After a step."""
        self.steps.append((self.now[0], self.now[1]))


def logged(module: DAU) -> list[dict[str, float]]:
    """The values of every step from now on, in place of the logger."""
    found: list[dict[str, float]] = []
    module.log_values = lambda **values: found.append(
        {name: float(torch.as_tensor(value).detach()) for name, value in values.items()}
    )
    return found
