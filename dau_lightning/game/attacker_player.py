"""An attacker network as a player of the game: its pre-training, its steps, and what it says at the end."""

import time
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from dau_lightning.dataset.images import Images
from dau_lightning.game.attacker_input import AttackerInputs, join
from dau_lightning.game.objective import Objective
from dau_lightning.game.penalty import Penalty
from dau_lightning.game.pretraining import Pretraining
from dau_lightning.game.unseen import balanced_accuracy, fitted_and_unseen
from dau_lightning.training.mode import batch_norm, evaluating, float32, frozen
from dau_lightning.training.sgd import SGDMethod

ATTENTION = 2**24  # attention weights of a head, K^2 a sample, that a pass outside of steps may make


class AttackerPlayer(nn.Module):
    """An attacker network and how it plays.

    Args:
        network: attacker inputs to membership logits `(B,)`, or `(B, A)` of A attackers.
        objective: of the game.
        penalty: added to the attacker's loss.
        pretraining: before the game.
        lr: of Adam.
        steps: attacker steps in a defender step.
        mode: of the network in the defender's step: `eval`, or `train` (dropout, batch statistics).
    """

    uses_val = True

    def __init__(
        self,
        network: nn.Module,
        objective: Objective,
        penalty: Penalty,
        pretraining: Pretraining,
        lr: float,
        steps: int,
        mode: str,
    ) -> None:
        super().__init__()
        self.network, self.objective, self.penalty, self.pretraining = network, objective, penalty, pretraining
        self.lr, self.steps, self.mode = lr, steps, mode

    def optimizers(self) -> list[torch.optim.Optimizer]:
        """Adam on the network."""
        return [torch.optim.Adam(self.network.parameters(), self.lr, fused=True)]

    def check(self, world_size: int) -> None:
        """Raise an `InputError` unless the devices can share a batch of the pre-training."""
        self.pretraining.check(world_size)

    def step(self, forget: AttackerInputs, val: AttackerInputs, descend: Callable[[Tensor], None]) -> Tensor:
        """Ascend on `L_A`, the defender fixed; the last loss.

        Args:
            forget: the attacker's inputs for forget samples.
            val: those for validation samples.
            descend: takes one step of the attacker's optimizer down a loss.
        """
        loss = forget.prediction.new_zeros(())
        for _ in range(self.steps):
            loss = self.attacker_loss(forget.detached(), val.detached())
            descend(loss)
        return loss

    def loss(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """What the defender minimises: `L_A` in the binary game. The attacker is fixed, its buffers too."""
        fixed = evaluating(self.network) if self.mode == "eval" else batch_norm(self.network, "batch")
        with frozen(self.network), fixed:
            return self.objective.defender_loss(*self.membership(forget, val))

    def attacker_loss(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """What the attacker minimises: `-L_A` in the binary game, and its penalty."""
        loss = self.objective.attacker_loss(*self.membership(forget, val))
        return loss + self.penalty(self.single_membership, forget, val)

    def membership(self, *parts: AttackerInputs) -> tuple[Tensor, ...]:
        """Membership logits of each part, float32 `(B,)` or `(B, A)`; all parts are one batch of the network."""
        inputs = join(*parts)
        with float32(inputs.targets.device):
            return self.network(*inputs).split([len(part.targets) for part in parts])

    def single_membership(self, inputs: AttackerInputs) -> Tensor:
        """Membership logits without batch statistics: a sample's slope does not depend on the other samples."""
        with evaluating(self.network):
            return self.membership(inputs)[0]

    @torch.no_grad()
    def outputs(self, inputs: AttackerInputs) -> Tensor:
        """The probability of "member", `(N,)`, in evaluation mode; of several attackers the mean."""
        size = max(1, ATTENTION // inputs.prediction.shape[1] ** 2)
        chunks = [inputs.at(slice(first, first + size)) for first in range(0, len(inputs.targets), size)]
        return torch.cat([self.single_membership(chunk) for chunk in chunks]).sigmoid().reshape(len(inputs.targets), -1).mean(1)

    def before_game(self, module: SGDMethod) -> None:
        """Pre-train the attacker to tell `D` from `D_v`, then find out how well it does; nothing if that is known."""
        if not self.pretraining.steps or "balanced_accuracy_pretrained" in module.findings:
            return  # no pre-training, or resumed within the game
        self.pretraining(module, self.attacker_loss)
        start = time.perf_counter()
        module.findings["balanced_accuracy_pretrained"] = self.unseen_accuracy(module)  # to read it synchronises the device
        module.untimed = time.perf_counter() - start
        module.save_checkpoint()  # a run that is killed early in the game does not repeat the pre-training

    def dynamics(self, module: SGDMethod) -> dict[str, float]:
        """The accuracy of the attacker, see `unseen_accuracy`."""
        return {"attacker": self.unseen_accuracy(module)}

    def findings(self, module: SGDMethod) -> dict[str, float | None]:
        """Where the game ended: outputs of 0.5 for `D_f` and `D_v` are its solution."""
        forget, val = self._outputs_of(module, {"forget": module.data.part("forget"), "val": module.data.part("val")})
        ends = {"mean_output_forget": float(forget.mean()), "mean_output_val": float(val.mean())}
        pretrained = module.findings.get("balanced_accuracy_pretrained")
        return {"balanced_accuracy_pretrained": pretrained, "balanced_accuracy_final": self.unseen_accuracy(module), **ends}

    def unseen_accuracy(self, module: SGDMethod) -> float:
        """The balanced accuracy on samples that the attacker was not fitted on, in percent."""
        _, unseen = fitted_and_unseen(module.data, module.seed)
        return balanced_accuracy(*self._outputs_of(module, unseen))

    def _outputs_of(self, module: SGDMethod, parts: Mapping[str, Images]) -> list[Tensor]:
        return [self.outputs(inputs) for inputs in self.pretraining.inputs(module, parts)]
