"""The attacker's side of the game (section 3): what the game asks of an attacker, and attackers that are a formula."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from dau_lightning.base.error import require
from dau_lightning.game.attacker_input import AttackerInputs
from dau_lightning.game.attacker_player import AttackerPlayer
from dau_lightning.game.objective import MinMax, Objective
from dau_lightning.game.penalty import Penalty, none
from dau_lightning.training.sgd import SGDMethod

FINDINGS = "balanced_accuracy_pretrained", "balanced_accuracy_final", "mean_output_forget", "mean_output_val"
NO_FORMULA = (
    "baseline.attacker_input must be probabilities where the attacker is a formula, got {} (or choose a network, for "
    "example baseline/attacker=small_transformer)"
)
NO_NETWORK = (
    "baseline/objective and baseline/penalty are for an attacker network, and this attacker is a formula: add for example "
    "baseline/attacker=small_transformer, or take baseline=dau_paper"
)


@runtime_checkable
class Player(Protocol):
    """An attacker as `DAU` uses it: a module, with or without a network.

    An `AttackerPlayer` trains an attacker network, and a `FormulaPlayer` needs none. `baseline/attacker` makes a network, or a
    module that has these methods itself.
    """

    uses_val: bool  # whether its loss depends on val samples; known after `before_game`

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Make the optimizers of the attacker, in a list of one or none."""
        ...

    def check(self, world_size: int) -> None:
        """Raise an `InputError` if the attacker cannot play on this number of devices."""
        ...

    def step(self, forget: AttackerInputs, val: AttackerInputs, descend: Callable[[Tensor], None]) -> Tensor:
        """Take the attacker's part of a step, while the defender is fixed; return the loss for the log."""
        ...

    def loss(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """Compute what the defender minimises, a scalar, before its weight alpha; the attacker is fixed."""
        ...

    def before_game(self, module: SGDMethod) -> None:
        """Do the work before the first step of the game."""
        ...

    def dynamics(self, module: SGDMethod) -> dict[str, float]:
        """Return what is worth measuring during the game, by name, in percent."""
        ...

    def findings(self, module: SGDMethod) -> dict[str, float | None]:
        """Return the numbers of the row that say where the game ended; None for a number that there is not."""
        ...


class FormulaPlayer(nn.Module, ABC):
    """The base of attackers whose part of a step is a formula: nothing is trained by steps, so there is little to do."""

    uses_val = True

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """None."""
        return []

    def check(self, world_size: int) -> None:
        """Nothing to check."""

    def look(self, forget: AttackerInputs, val: AttackerInputs) -> None:
        """Take in this step's samples, without gradients; by default nothing."""

    @torch.no_grad()
    def step(self, forget: AttackerInputs, val: AttackerInputs, descend: Callable[[Tensor], None]) -> Tensor:
        """Look at the samples; what an attacker would minimise, the negative of the defender's loss. `descend` is not used."""
        self.look(forget, val)
        return -self.loss(forget, val)

    @abstractmethod
    def loss(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """See `Player.loss`."""

    def before_game(self, module: SGDMethod) -> None:
        """Nothing to do."""

    def dynamics(self, module: SGDMethod) -> dict[str, float]:
        """Nothing."""
        return {}

    def findings(self, module: SGDMethod) -> dict[str, float | None]:
        """The keys of a trained attacker, without values: there is no network that has an accuracy or an output."""
        return dict.fromkeys(FINDINGS)


def player(made: nn.Module, attacker_input: str, *, objective: Objective, penalty: Penalty, **settings: Any) -> Player:
    """Return what `baseline/attacker` makes as it is if it is a `Player`, else as the network of an `AttackerPlayer`.

    Args:
        made: the network or player.
        attacker_input: `probabilities` or `logits`.
        objective: see `AttackerPlayer`.
        penalty: see `AttackerPlayer`.
        settings: the others of an `AttackerPlayer`.

    Raises:
        InputError: a formula would get logits, another objective than the yaml's default, or a penalty.
    """
    if isinstance(made, FormulaPlayer):
        require(attacker_input == "probabilities", NO_FORMULA.format(attacker_input))
        require(isinstance(objective, MinMax) and getattr(penalty, "func", penalty) is none, NO_NETWORK)  # the yaml's default
    return made if isinstance(made, Player) else AttackerPlayer(made, objective, penalty, **settings)
