"""Discriminative Adversarial Unlearning: the min-max game of defender and attacker (Algorithm 1)."""

import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Protocol, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from torch import Tensor

from dau_lightning.attacker import Attacker, Sensitivity
from dau_lightning.datamodule import Batch, JointLoader
from dau_lightning.dataset import Images, balanced
from dau_lightning.descent import Descent
from dau_lightning.error import InputError
from dau_lightning.mode import batch_norm, evaluating, frozen
from dau_lightning.module import log
from dau_lightning.pretraining import Rows, balanced_accuracy, observe_all, outputs, pretrain
from dau_lightning.randomness import generator

HELD_OUT = 1000  # members and nonmembers, at most, that only judge the attacker
SMALL_NOISE = 0.05  # below it bfloat16 cannot resolve what the noise changes


class Objective(Protocol):
    """What the two players minimise, of the attacker's membership logits of forget and validation samples."""

    def attacker_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """The attacker's loss."""
        ...

    def defender_loss(self, forget_logits: Tensor, val_logits: Tensor) -> Tensor:
        """The defender's, before its weight alpha."""
        ...


class DAU(Descent):
    """Defender and attacker, a step of each by turns.

    Args:
        defender: see `UnlearningModule`.
        attacker: made for a number of classes.
        objective: of the game.
        regulariser: forget features `(B, D)`, val features `(B, D)` to a scalar (`V_ss`).
        sensitivity: the second input of the attacker.
        retain_batch_size: images a step.
        forget_batch_size: images a step.
        val_batch_size: images a step.
        adversarial_weight: alpha, Eq. 1.
        adversarial_steps: alpha is 0 after as many steps, and attacker and noisy passes are skipped; None for never.
        regulariser_weight: beta, Eq. 3.
        batch_norm: mode of the defender's for forget and val images, see `mode.batch_norm`.
        attacker_input: `probabilities`, or the defender's `logits` in their place.
        attacker_mode: of the attacker in the defender's step: `eval`, or `train` (dropout, statistics of the batch).
        attacker_lr: of Adam.
        attacker_steps: attacker steps a defender step.
        pretraining_steps: attacker steps before the game, to tell `D` from `D_v`.
        pretraining_batch_size: members a step, and as many nonmembers.
        settings: see `Descent`.

    Raises:
        InputError: a regulariser with forget and val batches of different sizes.
    """

    label = "DAU"

    def __init__(
        self,
        *,
        attacker: Callable[[int], Attacker],
        objective: Objective,
        regulariser: Callable[[Tensor, Tensor], Tensor],
        sensitivity: Sensitivity,
        retain_batch_size: int,
        forget_batch_size: int,
        val_batch_size: int,
        adversarial_weight: float,
        adversarial_steps: int | None,
        regulariser_weight: float,
        batch_norm: str,
        attacker_input: str,
        attacker_mode: str,
        attacker_lr: float,
        attacker_steps: int,
        pretraining_steps: int,
        pretraining_batch_size: int,
        **settings: Any,
    ) -> None:
        super().__init__(batch_size=retain_batch_size, **settings)
        self.automatic_optimization = False
        if regulariser_weight and forget_batch_size != val_batch_size:
            raise InputError(
                f"baseline.forget_batch_size and baseline.val_batch_size must be equal for the regulariser, which pairs them; "
                f"got {forget_batch_size} and {val_batch_size} (or set baseline.regulariser_weight=0)"
            )
        self.attacker = attacker(self.defender.num_classes)
        self.objective, self.regulariser, self.sensitivity = objective, regulariser, sensitivity
        self.forget_batch_size, self.val_batch_size = forget_batch_size, val_batch_size
        self.adversarial_weight, self.adversarial_steps = adversarial_weight, adversarial_steps
        self.regulariser_weight, self.batch_norm = regulariser_weight, batch_norm
        self.attacker_input, self.attacker_mode = attacker_input, attacker_mode
        self.attacker_lr, self.attacker_steps = attacker_lr, attacker_steps
        self.pretraining_steps, self.pretraining_batch_size = pretraining_steps, pretraining_batch_size

    @property
    def batch_sizes(self) -> Mapping[str, int]:
        """Retain, forget and val images."""
        return {"retain": self.batch_size, "forget": self.forget_batch_size, "val": self.val_batch_size}

    @property
    def alpha(self) -> float:
        """The weight of the game at this step."""
        over = self.adversarial_steps is not None and self.step >= self.adversarial_steps
        return 0.0 if over else self.adversarial_weight

    def configure_optimizers(self) -> list[torch.optim.Optimizer]:
        """SGD on the defender, Adam on the attacker."""
        return [self.sgd(), torch.optim.Adam(self.attacker.parameters(), self.attacker_lr)]

    def on_train_start(self) -> None:
        """Pre-train the attacker to tell `D` from `D_v`, on stored outputs of the defender; part of the run time."""
        data = self.data
        train, retain = data.part("train"), data.part("retain")
        held = balanced(retain.targets.cpu(), min(HELD_OUT, 1 + len(retain) // 10), generator(self.seed, "held out"))
        held_ids = {retain.ids[index] for index in held.tolist()}
        fitted = torch.tensor([index for index, name in enumerate(train.ids) if name not in held_ids])
        judges = data.part("judge" if len(data.split.judge) else "test_retain")
        drawn = balanced(judges.targets.cpu(), min(HELD_OUT, len(judges)), generator(self.seed, "judges"))
        self.unseen = {"members": retain[held], "nonmembers": judges[drawn]}
        if self.pretraining_steps and self.adversarial_weight and self.adversarial_steps != 0:
            rows = self.observe_parts({"members": train[fitted], "nonmembers": data.part("val")})
            settings = self.pretraining_steps, self.pretraining_batch_size, self.seed
            optimizer = self.trainer.optimizers[1]
            pretrain(self.membership, optimizer, self.objective.attacker_loss, rows, *settings, self.record_pretraining)
        start = time.perf_counter()
        self.findings["balanced_accuracy_pretrained"] = self.unseen_accuracy()  # a number, which synchronises the device
        self.untimed = time.perf_counter() - start

    def training_step(self, batch: Mapping[str, Batch], batch_idx: int) -> Tensor:
        """One step of Algorithm 1: the attacker ascends on detached inputs, then the defender descends on Eq. 3."""
        alpha, beta = self.alpha, self.regulariser_weight
        retain_loss = loss = self.cross_entropy(batch["retain"])  # L_D
        values: dict[str, Tensor | float] = {"retain_loss": retain_loss, "adversarial_weight": alpha}
        if alpha or beta:
            images, targets = (torch.cat(both) for both in zip(batch["forget"], batch["val"], strict=True))
            forget, val = slice(0, len(batch["forget"].targets)), slice(len(batch["forget"].targets), None)
            seen, features = self.observe(images, targets, self.batch_norm, with_sensitivity=alpha > 0)
            if alpha:
                values["attacker_loss"] = self.attacker_step(Rows(*(column.detach() for column in seen)), forget, val)
                with frozen(self.attacker), self.attacker_in_defender_step():
                    membership = self.membership(seen)
                values["adversarial_loss"] = adversarial_loss = self.objective.defender_loss(
                    membership[forget], membership[val]
                )
                loss = loss + alpha * adversarial_loss
            if beta:
                values["regulariser"] = redundancy = self.regulariser(features[forget], features[val])  # V_ss
                loss = loss + beta * redundancy
        self.descend(0, loss)
        self.record(loss=loss, **values)
        return loss.detach()

    def attacker_step(self, seen: Rows, forget: slice, val: slice) -> Tensor:
        """Let the attacker ascend on `L_A`; its last loss."""
        loss = seen.prediction.new_zeros(())
        for _ in range(self.attacker_steps):
            membership = self.membership(seen)
            loss = self.objective.attacker_loss(membership[forget], membership[val])
            self.descend(1, loss)
        return loss

    def descend(self, player: int, loss: Tensor) -> None:
        """One step of a player's optimizer: 0 the defender's, 1 the attacker's."""
        optimizer = cast(list[LightningOptimizer], self.optimizers())[player]
        optimizer.zero_grad()
        self.manual_backward(loss)
        optimizer.step()

    def observe(self, images: Tensor, targets: Tensor, mode: str, with_sensitivity: bool = True) -> tuple[Rows, Tensor]:
        """What the attacker sees of images `(B, C, H, W)` of labels `(B,)`, and their features `(B, D)`.

        Noise too small for a shorter type to resolve is measured in float32, prediction and noisy predictions alike.
        """
        small = with_sensitivity and self.sensitivity.copies > 0 and self.sensitivity.noise_scale < SMALL_NOISE
        with batch_norm(self.defender, mode), self.float32() if small else nullcontext():
            logits, features = self.defender(images)
            probabilities = logits.float().softmax(1)
            sensitivity = torch.zeros_like(probabilities)
            if with_sensitivity:
                sensitivity = self.sensitivity(self.predict, images, probabilities)
        prediction = probabilities if self.attacker_input == "probabilities" else logits.float()
        return Rows(prediction, sensitivity, targets), features

    def predict(self, images: Tensor) -> Tensor:
        """Probabilities `(B, K)` of noisy images."""
        return self.defender(images)[0].float().softmax(1)

    def float32(self) -> torch.autocast:
        """No shorter type inside."""
        return torch.autocast(self.device.type, enabled=False)

    def membership(self, seen: Rows) -> Tensor:
        """The attacker's logits `(B,)`, always in float32."""
        with self.float32():
            return self.attacker(*seen)

    def record_pretraining(self, step: int, loss: float) -> None:
        """Log a step of the pre-training."""
        log(self.loggers, "pretraining", step, {"attacker_loss": loss})

    def attacker_in_defender_step(self) -> AbstractContextManager[None]:
        """The attacker's mode in the defender's step; neither changes its buffers."""
        return evaluating(self.attacker) if self.attacker_mode == "eval" else batch_norm(self.attacker, "batch")

    def observe_parts(self, parts: Mapping[str, Images]) -> tuple[Rows, Rows]:
        """What the attacker sees of two parts, observed as in the game (joint augmented batches), the larger one visited once.

        The defender's statistics never take them in: some are test images.
        """
        mode = "batch" if self.batch_norm == "update" else self.batch_norm
        larger_first = dict(sorted(parts.items(), key=lambda part: -len(part[1])))
        sizes = dict.fromkeys(larger_first, self.pretraining_batch_size)
        loader = JointLoader(larger_first, sizes, self.data.transform, self.seed)
        rows = observe_all(lambda images, targets: self.observe(images, targets, mode)[0], loader)
        return rows if [*larger_first] == [*parts] else (rows[1], rows[0])

    def unseen_accuracy(self) -> float:
        """The attacker's balanced accuracy on members and nonmembers that it was not fitted on, in percent."""
        return balanced_accuracy(*(outputs(self.attacker, self.membership, rows) for rows in self.observe_parts(self.unseen)))

    def on_train_end(self) -> None:
        """Find out where the game ended: 0.5 for `D_f` and `D_v` is its solution."""
        rows = self.observe_parts({"forget": self.data.part("forget"), "val": self.data.part("val")})
        forget, val = (float(outputs(self.attacker, self.membership, part).mean()) for part in rows)
        final = {"balanced_accuracy_final": self.unseen_accuracy(), "mean_output_forget": forget, "mean_output_val": val}
        self.findings |= final
