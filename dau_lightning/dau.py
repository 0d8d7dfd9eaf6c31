"""Discriminative Adversarial Unlearning: the min-max game of defender and attacker (Algorithm 1)."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from typing import Any, cast

import torch
import torch.nn.functional as F
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor, nn

from dau_lightning.base.devices import together
from dau_lightning.base.error import InputError
from dau_lightning.data.loader import Batch, JointLoader
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.game.attacker_input import AttackerInputMaker, AttackerInputs, DefenderOutputs, join
from dau_lightning.game.objective import Objective, Term
from dau_lightning.game.penalty import Penalty
from dau_lightning.game.pretraining import balanced_accuracy, fitted_and_unseen, observe_parts, outputs, pretrain
from dau_lightning.game.regulariser import Nothing, Regulariser
from dau_lightning.game.sensitivity import Sensitivity
from dau_lightning.training.mode import batch_norm, eager, evaluating, float32, frozen
from dau_lightning.training.module import log
from dau_lightning.training.sgd import SGDMethod


class DAU(SGDMethod):
    """Defender and attacker, a step of each by turns.

    Args:
        attacker: made for a number of classes.
        penalty: on the attacker, see `penalty`.
        objective: of the game.
        regulariser: `V_ss`, see `regulariser`.
        projector: between features and regulariser, made for a number of features; trained with the defender, not kept.
        term: more for the defender, by name.
        sensitivity: the second input of the attacker.
        retain_batch_size: images a step.
        forget_batch_size: images a step.
        val_batch_size: images a step.
        adversarial_weight: alpha, Eq. 1.
        adversarial_steps: alpha is 0 after as many steps, and attacker and noisy passes are skipped; None for never.
        regulariser_weight: beta, Eq. 3.
        pairing: of forget and val images: `random`, or `class` for the same label at the same position.
        attacker_input: `probabilities`, or the defender's `logits` in their place.
        attacker_mode: of the attacker in the defender's step: `eval`, or `train` (dropout, statistics of the batch).
        attacker_lr: of Adam.
        attacker_steps: attacker steps a defender step.
        pretraining_steps: attacker steps before the game, to tell `D` from `D_v`.
        pretraining_batch_size: members a step, and as many nonmembers.
        pretraining_refresh: attacker steps after which both are observed anew, with other augmentation; None for never.
        settings: see `SGDMethod`; `batch_norm` is the defender's for forget and val images.

    Raises:
        InputError: forget and val batches of different sizes where they are paired.
    """

    label = "DAU"

    def __init__(
        self,
        *,
        attacker: Callable[[int], nn.Module],
        penalty: Penalty,
        objective: Objective,
        regulariser: Regulariser,
        projector: Callable[[int], nn.Module],
        term: Mapping[str, Term],
        sensitivity: Sensitivity,
        retain_batch_size: int,
        forget_batch_size: int,
        val_batch_size: int,
        adversarial_weight: float,
        adversarial_steps: int | None,
        regulariser_weight: float,
        pairing: str,
        attacker_input: str,
        attacker_mode: str,
        attacker_lr: float,
        attacker_steps: int,
        pretraining_steps: int,
        pretraining_batch_size: int,
        pretraining_refresh: int | None,
        **settings: Any,
    ) -> None:
        super().__init__(batch_size=retain_batch_size, **settings)
        self.automatic_optimization = False
        self.attacker, self.projector = attacker(self.defender.num_classes), projector(self.defender.num_features)
        self.penalty, self.objective, self.regulariser, self.term = penalty, objective, regulariser, dict(term)
        self.observer = AttackerInputMaker(sensitivity, attacker_input)
        self.forget_batch_size, self.val_batch_size = forget_batch_size, val_batch_size
        self.adversarial_weight, self.adversarial_steps = adversarial_weight, adversarial_steps
        self.regulariser_weight = 0.0 if isinstance(regulariser, Nothing) else regulariser_weight
        self.pairing, self.attacker_mode = pairing, attacker_mode
        self.attacker_lr, self.attacker_steps = attacker_lr, attacker_steps
        self.pretraining_steps, self.pretraining_batch_size = pretraining_steps, pretraining_batch_size
        self.pretraining_refresh = pretraining_refresh
        if (self.regulariser_weight or self.pairs) and forget_batch_size != val_batch_size:
            raise InputError(
                f"baseline.forget_batch_size and baseline.val_batch_size must be equal for the regulariser and for pairs of a "
                f"class; got {forget_batch_size} and {val_batch_size} (or set baseline.regulariser_weight=0 and "
                "baseline.pairing=random)"
            )

    def loader(
        self, part: Callable[[str], Images], transform: Transform, seed: int, rank: int = 0, world_size: int = 1
    ) -> JointLoader:
        """See `SGDMethod.loader`; the batches of the pre-training have to be shared, too."""
        if self.pretraining_steps and self.pretraining_batch_size % world_size:
            size = self.pretraining_batch_size
            raise InputError(f"the pre-training batch size must be a multiple of trainer.devices={world_size}, got {size}")
        return super().loader(part, transform, seed, rank, world_size)

    @property
    def batch_sizes(self) -> Mapping[str, int]:
        """Retain, forget and val images."""
        return {"retain": self.batch_size, "forget": self.forget_batch_size, "val": self.val_batch_size}

    @property
    def pairs(self) -> Mapping[str, str]:
        """Val images take the labels of forget images, if pairs are of a class."""
        return {"val": "forget"} if self.pairing == "class" else {}

    @property
    def alpha(self) -> float:
        """The weight of the game at this step."""
        over = self.adversarial_steps is not None and self.step >= self.adversarial_steps
        return 0.0 if over else self.adversarial_weight

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """SGD on the defender and its projector, Adam on the attacker."""
        return [self.sgd(self.projector), torch.optim.Adam(self.attacker.parameters(), self.attacker_lr, fused=True)]

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor:
        """One step of Algorithm 1: the attacker ascends on detached inputs, then the defender descends on Eq. 3."""
        alpha, beta = self.alpha, self.regulariser_weight
        logits, retain_features = map(together, self.defender(batch["retain"].images))
        retain_loss = loss = F.cross_entropy(logits.float(), together(batch["retain"].targets))  # L_D
        values: dict[str, Tensor | float] = {"retain_loss": retain_loss, "adversarial_weight": alpha}
        if alpha or beta or self.term:
            images, targets = (torch.cat(both) for both in zip(batch["forget"], batch["val"], strict=True))
            sizes = [self.batch_sizes[part] for part in ("forget", "val", "retain")]
            seen = self.observe(images, targets, self.batch_norm, with_sensitivity=alpha > 0)
            if alpha:
                values["attacker_loss"] = self.attacker_step(*seen.rows.detached().split(sizes[:2]))
                with frozen(self.attacker), self.attacker_in_defender_step():
                    membership = self.membership(seen.rows)
                values["adversarial_loss"] = game = self.objective.defender_loss(*membership.split(sizes[:2]))
                loss = loss + alpha * game
            if beta:
                features = self.projector(torch.cat([seen.features, retain_features]))  # its batch-norm sees all of them
                values["regulariser"] = redundancy = self.regulariser(*features.split(sizes))  # V_ss
                loss = loss + beta * redundancy
            for name, term in self.term.items():
                values[name] = more = term.loss(seen.logits[: sizes[0]], seen.rows.targets[: sizes[0]])
                loss = loss + more
        self.descend(0, loss)
        self.record(loss=loss, **values)
        return loss.detach()

    def attacker_step(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """Let the attacker ascend on `L_A`; its last loss."""
        loss = forget.prediction.new_zeros(())
        for _ in range(self.attacker_steps):
            loss = self.attacker_loss(forget, val)
            self.descend(1, loss)
        return loss

    def attacker_loss(self, forget: AttackerInputs, val: AttackerInputs) -> Tensor:
        """What the attacker minimises, of rows that it judges as one batch: `-L_A` and its penalty."""
        membership = self.membership(join(forget, val)).split([len(forget.targets), len(val.targets)])
        return self.objective.attacker_loss(*membership) + self.penalty(self.single_membership, forget, val)

    def descend(self, player: int, loss: Tensor) -> None:
        """One step of a player's optimizer: 0 the defender's, 1 the attacker's."""
        optimizer = cast(list[LightningOptimizer], self.optimizers())[player]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def observe(self, images: Tensor, targets: Tensor, mode: str, with_sensitivity: bool = True) -> DefenderOutputs:
        """See `AttackerInputMaker`."""
        return self.observer(self.defender, images, targets, mode, with_sensitivity)

    def membership(self, seen: AttackerInputs) -> Tensor:
        """The attacker's logits `(B,)`, always in float32; `(B, A)` of several attackers."""
        with float32(self.device):
            return self.attacker(*seen)

    def single_membership(self, seen: AttackerInputs) -> Tensor:
        """The same of each sample by itself: statistics of the batch would make its slope depend on the others."""
        with evaluating(self.attacker):
            return self.membership(seen)

    def attacker_in_defender_step(self) -> AbstractContextManager[None]:
        """The attacker's mode in the defender's step; neither changes its buffers."""
        return evaluating(self.attacker) if self.attacker_mode == "eval" else batch_norm(self.attacker, "batch")

    def on_train_start(self) -> None:
        """Before the game: what the terms do, then the attacker learns to tell `D` from `D_v`; part of the run time."""
        members, self.unseen = fitted_and_unseen(self.data, self.seed)
        if "balanced_accuracy_pretrained" in self.findings:
            return  # resumed within the game
        if "pretrained" not in self.memory:  # else resumed within the pre-training
            for term in self.term.values():
                term.before_game(self)
        first = self.remember(pretrained=0)["pretrained"]
        if self.pretraining_steps and self.adversarial_weight and self.adversarial_steps != 0:
            observed = partial(self.observe_parts, {"members": members, "nonmembers": self.data.part("val")})
            steps = range(first, self.pretraining_steps)
            settings = self.pretraining_refresh, steps, self.pretraining_batch_size, self.seed
            optimizer = self.trainer.optimizers[1]
            pretrain(optimizer, self.attacker_loss, observed, *settings, self.record_pretraining, self.before_pretraining)
        start = time.perf_counter()
        self.findings["balanced_accuracy_pretrained"] = self.unseen_accuracy()  # a number, which synchronises the device
        self.untimed = time.perf_counter() - start
        self.safe_point(finished=True)  # a run killed early in the game does not learn this again

    def on_train_end(self) -> None:
        """Find out where the game ended: 0.5 for `D_f` and `D_v` is its solution."""
        rows = self.observe_parts({"forget": self.data.part("forget"), "val": self.data.part("val")})
        forget, val = (float(outputs(self.attacker, self.membership, part).mean()) for part in rows)
        final = {"balanced_accuracy_final": self.unseen_accuracy(), "mean_output_forget": forget, "mean_output_val": val}
        self.findings |= final

    def observe_parts(self, parts: Mapping[str, Images], epoch: int = 0) -> tuple[AttackerInputs, AttackerInputs]:
        """See `pretraining.observe_parts`; the defender's statistics never take them in: some are test images.

        In the precision of a step, which Lightning sets around steps alone.
        """
        mode = "batch" if self.batch_norm == "update" else self.batch_norm
        settings = parts, self.pretraining_batch_size, self.data.transform, self.seed, epoch
        with self.trainer.precision_plugin.forward_context():
            return observe_parts(lambda images, targets: self.observe(images, targets, mode).rows, *settings)

    def unseen_accuracy(self) -> float:
        """The attacker's balanced accuracy on members and nonmembers that it was not fitted on, in percent."""
        with eager():  # its time is taken off the run time, from which that of a compilation is left out anyway
            rows = self.observe_parts(self.unseen)
        return balanced_accuracy(*(outputs(self.attacker, self.membership, part) for part in rows))

    def before_pretraining(self, step: int) -> None:
        """A checkpoint may be written before a step of the pre-training."""
        self.memory["pretrained"] = step
        self.safe_point()

    def record_pretraining(self, step: int, loss: float) -> None:
        """Log a step of the pre-training."""
        log(self.loggers, "pretraining", step, {"attacker_loss": loss})
