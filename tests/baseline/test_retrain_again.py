from typing import Any

import lightning as L
import torch

from dau_lightning.baseline.retrain import Retrain
from dau_lightning.baseline.retrain_again import RetrainAgain


def test_sees_the_retain_set_and_nothing_else(tiny: Any) -> None:
    assert tiny.seen(RetrainAgain) == dict.fromkeys(range(36), 2)  # two epochs


def test_shares_neither_weights_nor_batches_with_retrain(tiny: Any) -> None:
    class Keep(L.Callback):
        def on_train_batch_start(self, trainer: L.Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
            batches.append(batch["retain"].images)

    training, split = tiny.training(), tiny.split()
    modules = [training.module(kind, split) for kind in (Retrain, RetrainAgain)]
    first, second = (dict(module.defender.named_parameters()) for module in modules)
    assert not any(torch.equal(first[name], second[name]) for name in first if first[name].dim() > 1)
    batches: list[torch.Tensor] = []
    for module in modules:
        tiny.fit(module, Keep())
    assert len(batches) == 12
    assert not any(torch.equal(*pair) for pair in zip(batches[:6], batches[6:], strict=True))
