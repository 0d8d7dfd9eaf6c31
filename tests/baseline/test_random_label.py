from typing import Any

import torch

from dau_lightning.base.randomness import reseed
from dau_lightning.baseline.random_label import RandomLabel, with_random_labels
from dau_lightning.data.loader import Batch
from tests.one_step import FULL, assert_equal, cross_entropy, descended, inputs

WHOLE = {name: value for name, value in FULL.items() if name != "forget_batch_size"}


def test_an_epoch_visits_the_forget_set_then_the_retain_set(tiny: Any) -> None:
    assert tiny.seen(RandomLabel) == dict.fromkeys(range(48), 2)  # two epochs


def test_two_steps_are_those_of_the_formula(tiny: Any) -> None:
    module = tiny.module(RandomLabel, **WHOLE, lr=0.1, batch_norm="batch")
    (retain, kept), (forget, _) = inputs(tiny, "retain"), inputs(tiny, "forget")
    batches: list[Any] = []
    module.on_train_batch_end = lambda _, batch, __: batches.append(batch)  # type: ignore[method-assign]
    tiny.fit(module)
    reference = tiny.defender().network
    images = batches[0]["forget"].images
    reseed(0, "unlearning", 0, 0)
    labels = torch.randint(3, (12,))
    for step in ((images, labels), (batches[1]["retain"].images, batches[1]["retain"].targets)):
        after = descended(reference, lambda network, step=step: cross_entropy(network(step[0]), step[1]), 0.1)
        torch.nn.utils.vector_to_parameters(torch.nn.utils.parameters_to_vector(after), reference.parameters())
    assert_equal(module.defender.parameters(), reference.parameters())
    assert sorted(batches[1]["retain"].targets.tolist()) == sorted(kept.tolist())
    assert sorted(image.flatten().tolist() for image in images) == sorted(image.flatten().tolist() for image in forget)
    assert retain.shape == batches[1]["retain"].images.shape


def test_a_single_forget_image_is_seen_with_the_running_statistics(tiny: Any) -> None:
    module = tiny.module(RandomLabel, **WHOLE, lr=0.1, batch_norm="update")
    layer, batches = module.defender.network[0][1], list[tuple[int, bool]]()
    layer.register_forward_pre_hook(lambda layer, inputs: batches.append((len(inputs[0]), layer.training)))
    tiny.fit(module, split=tiny.split(forget=1))
    assert batches == [(1, False), (36, True)]
    assert layer.num_batches_tracked == 1


def test_labels_are_uniform_over_all_classes_and_new_in_every_step() -> None:
    batch = Batch(torch.zeros(3000, 1), torch.ones(3000, dtype=torch.long))
    torch.manual_seed(0)
    first, second = (with_random_labels({"forget": batch}, 4).targets for _ in range(2))
    assert (first.bincount(minlength=4) / 3000 - 0.25).abs().max() < 0.04
    assert not torch.equal(first, second)
    assert torch.equal(with_random_labels({"retain": batch}, 4).targets, batch.targets)
