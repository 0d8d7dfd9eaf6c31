"""Discriminative Adversarial Unlearning: the min-max game of defender and attacker (Algorithm 1)."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dau_lightning.base.error import require
from dau_lightning.base.randomness import generator
from dau_lightning.corruption.wrong_labels import shifted
from dau_lightning.data.loader import Batch, JointLoader
from dau_lightning.data.split import Split
from dau_lightning.data.transform import Transform
from dau_lightning.dataset.images import Images
from dau_lightning.game.attacker_input import Query
from dau_lightning.game.objective import Objective
from dau_lightning.game.penalty import Penalty
from dau_lightning.game.player import player
from dau_lightning.game.pretraining import Pretraining
from dau_lightning.game.projector import ProjectedRegulariser
from dau_lightning.game.regulariser import NoRegulariser, Regulariser
from dau_lightning.game.sensitivity import Sensitivity
from dau_lightning.training.repeated import RepeatedMethod

UNEQUAL = (
    "baseline.forget_batch_size and baseline.val_batch_size must be equal for the regulariser and for pairs of a class; got {} "
    "and {} (or set baseline.regulariser_weight=0 and baseline.pairing=random, or baseline.visits_per_step=null)"
)


class DAU(RepeatedMethod):
    """Defender and attacker take turns: in each step one attacker step, then one defender step.

    Args:
        label: in tables.
        attacker: makes the attacker for a number of classes: a network, or a `Player` such as a formula.
        attacker_input: what the attacker sees of the defender: `probabilities` or `logits`.
        joint_batch: the parts that are one batch of the defender, `forget_val` or `retain_forget`, see `Query`.
        sensitivity: the attacker's second input.
        attacker_lr: learning rate of Adam.
        attacker_steps: attacker steps in a defender step.
        attacker_mode: of the attacker in the defender's step: `eval`, or `train` (dropout, batch statistics).
        objective: of the game.
        penalty: on the attacker's slope, added to its loss.
        pretraining_steps: attacker steps before the game, to tell `D` from `D_v`.
        pretraining_batch_size: members in such a step, and as many nonmembers.
        pretraining_refresh: steps after which their stored inputs are made anew; None for never.
        adversarial_weight: alpha, Eq. 1.
        adversarial_steps: alpha is 0 after this many steps, and attacker and noisy passes are skipped; None for never.
        regulariser: `V_ss`, from features.
        regulariser_weight: beta, Eq. 3.
        projector: makes a network between features and regulariser for a number of features; trained with the defender.
        retain_batch_size: images in a step.
        forget_batch_size: images in a step.
        val_batch_size: images in a step.
        visits_per_step: how often a forget image comes in a step at most; None: as often as it takes to fill the batch.
        pairing: of forget and val images: `random`, or `class` for the same class at the same position.
        settings: see `RepeatedMethod` and `SGDMethod`; `batch_norm` is the defender's mode for forget and val images.

    Raises:
        InputError: forget and val batches that are paired differ in size, a joint batch that has no sensitivity needs one, or
            an attacker in closed form gets logits, another objective or a penalty.
    """

    def __init__(
        self,
        *,
        label: str,
        attacker: Callable[[int], nn.Module],
        attacker_input: str,
        joint_batch: str,
        sensitivity: Sensitivity,
        attacker_lr: float,
        attacker_steps: int,
        attacker_mode: str,
        objective: Objective,
        penalty: Penalty,
        pretraining_steps: int,
        pretraining_batch_size: int,
        pretraining_refresh: int | None,
        adversarial_weight: float,
        adversarial_steps: int | None,
        regulariser: Regulariser,
        regulariser_weight: float,
        projector: Callable[[int], nn.Module],
        retain_batch_size: int,
        forget_batch_size: int,
        val_batch_size: int,
        visits_per_step: int | None,
        pairing: str,
        **settings: Any,
    ) -> None:
        super().__init__(batch_size=retain_batch_size, **settings)
        self.batch_sizes = {"retain": retain_batch_size, "forget": forget_batch_size, "val": val_batch_size}
        self.pairs = {"val": "forget"} if pairing == "class" else {}
        self.label, self.visits = label, {"forget": visits_per_step or forget_batch_size}
        self.query = Query(sensitivity, attacker_input, joint_batch)
        pretraining = Pretraining(self.query, pretraining_steps, pretraining_batch_size, pretraining_refresh)
        how = dict[str, Any](objective=objective, penalty=penalty, lr=attacker_lr, steps=attacker_steps, mode=attacker_mode)
        self.attacker = player(attacker(self.defender.num_classes), attacker_input, pretraining=pretraining, **how)
        self.adversarial_weight, self.adversarial_steps = adversarial_weight, adversarial_steps
        self.regulariser = ProjectedRegulariser(projector(self.defender.num_features), regulariser)
        self.regulariser_weight = 0.0 if isinstance(regulariser, NoRegulariser) else regulariser_weight
        self._check_pairs(forget_batch_size, val_batch_size)

    def _check_pairs(self, forget: int, val: int) -> None:
        require(forget == val or not (self.regulariser_weight or self.pairs), UNEQUAL.format(forget, val))

    @property
    def alpha(self) -> float:
        """The weight of the game in this step."""
        if self.adversarial_steps is None:
            return self.adversarial_weight
        step = self.step % (self.epochs * int(self.trainer.num_training_batches))  # in this attempt
        return self.adversarial_weight if step < self.adversarial_steps else 0.0

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor:
        """One step of Algorithm 1: the attacker ascends on `L_A`, then the defender descends on Eq. 3."""
        batch = {**batch, "val": self.unseen(batch["val"])}
        alpha, beta = self.alpha, self.regulariser_weight
        parts = batch if alpha or beta or self.extra_losses else {"retain": batch["retain"]}
        outputs = self.query.step(self.defender, parts, self.batch_norm, with_sensitivity=alpha > 0)
        retain = outputs["retain"]
        loss = retain_loss = F.cross_entropy(retain.logits.float(), retain.inputs.targets)  # L_D
        values: dict[str, Tensor | float] = {"retain_loss": retain_loss, "adversarial_weight": alpha}
        if len(outputs) > 1:
            forget, val = outputs["forget"], outputs["val"]
            if alpha:
                values["attacker_loss"] = self.attacker.step(forget.inputs, val.inputs, partial(self.descend, 1))
                game = self.attacker.loss(forget.inputs, val.inputs)  # L_A
                values["adversarial_loss"], loss = game, loss + alpha * game
            if beta:
                redundancy = self.regulariser(forget.features, val.features, retain.features)  # V_ss
                values["regulariser"], loss = redundancy, loss + beta * redundancy
            values |= (extra := self.extra_values(batch, forget.logits))
            loss = loss + sum(extra.values())
        self.descend(0, loss)
        self.log_values(loss=loss, **values)
        return loss.detach()

    def unseen(self, val: Batch) -> Batch:
        """The standard for the forget images: val images, with labels of other classes if those of the forget set are wrong."""
        if not self.data.split.wrong_labels:
            return val
        draws = generator(self.seed, "wrong labels", self.step)
        return Batch(val.images, shifted(val.targets, self.defender.num_classes, draws))

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """SGD on the defender and its projector, and the attacker's optimizer."""
        return [self.sgd(self.regulariser), *self.attacker.optimizers()]

    def loader(
        self, part: Callable[[str], Images], transform: Transform, seed: int, rank: int = 0, world_size: int = 1
    ) -> JointLoader:
        """See `SGDMethod.loader`; the devices share the batches of the pre-training, too."""
        self.attacker.check(world_size)
        return super().loader(part, transform, seed, rank, world_size)

    def check(self, split: Split) -> None:
        """See `RepeatedMethod.check`; with few images, the forget batch may be too small for what needs pairs."""
        super().check(split)
        self.query.check(self.batch_norm)
        self._check_pairs(self.batch_size_of("forget", len(split.forget)), self.batch_sizes["val"])

    def on_train_start(self) -> None:
        """Let the extra losses change the defender, then the attacker prepare; both count as run time."""
        super().on_train_start()
        plays = self.adversarial_weight > 0 and self.adversarial_steps != 0
        if plays:
            self.attacker.before_game(self)
        with_val = (plays and self.attacker.uses_val) or self.regulariser_weight > 0
        self.query.prepare(self.data.part("forget").targets, self.data.part("retain").targets, with_val)

    def dynamics(self) -> dict[str, float]:
        """See `UnlearningModule.dynamics`: that of the attacker."""
        return self.attacker.dynamics(self)

    def on_train_end(self) -> None:
        """Find out where the game ended."""
        self.findings |= self.attacker.findings(self)
