import numpy as np
import pytest
import torch

from dau_lightning.metric.auc import AUC, auc, confidence_margin, standard_error


def samples(count: int, classes: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, generator=generator, dtype=torch.float64), torch.randint(classes, (count,), generator=generator)


def test_is_the_weighted_share_of_pairs_in_which_the_forget_sample_is_higher() -> None:
    forget, forget_targets = samples(40, 3, 0)
    unseen, unseen_targets = samples(200, 4, 1)  # with a class that nothing is forgotten of
    unseen[:20] = forget[:20]  # ties count half
    total = pairs = 0.0
    for score, label in zip(unseen.tolist(), unseen_targets.tolist(), strict=True):
        weight = float((forget_targets == label).sum()) / float((unseen_targets == label).sum())
        total += weight * float((forget > score).sum() + 0.5 * (forget == score).sum())
        pairs += weight * len(forget)
    found = auc(forget, forget_targets, unseen, unseen_targets)
    assert found
    assert found[0] == pytest.approx(100 * total / pairs, abs=1e-9)


def test_classes_cannot_be_read() -> None:
    """One class is easy, and more of it is forgotten: without weights forget samples would look remembered."""
    generator = torch.Generator().manual_seed(0)
    easy, hard = torch.randn(2000, generator=generator) + 3, torch.randn(2000, generator=generator)
    forget, forget_targets = torch.cat([easy[:900], hard[:100]]), torch.tensor([0] * 900 + [1] * 100)
    unseen, unseen_targets = torch.cat([easy[1000:], hard[1000:]]), torch.tensor([0] * 1000 + [1] * 1000)
    found = auc(forget, forget_targets, unseen, unseen_targets)
    assert found
    assert found[0] == pytest.approx(50, abs=3)


@pytest.mark.parametrize(("positives", "negatives", "points"), [(900, 10_000, 1.0), (180, 2_000, 2.2)])
def test_standard_error_at_chance(positives: int, negatives: int, points: float) -> None:
    assert 100 * standard_error(0.5, positives, negatives) == pytest.approx(points, abs=0.05)


def test_standard_error_is_that_of_repeated_draws() -> None:
    draws = np.random.default_rng(0)
    areas = []
    for _ in range(400):
        found = auc(
            torch.from_numpy(draws.normal(0.5, 1, 60)),
            torch.zeros(60).long(),
            torch.from_numpy(draws.normal(0, 1, 200)),
            torch.zeros(200).long(),
        )
        assert found
        areas.append(found)
    spread, stated = np.std([area for area, _ in areas]), np.mean([error for _, error in areas])
    assert spread == pytest.approx(stated, rel=0.1)


def test_forget_samples_of_a_class_without_unseen_samples_are_left_out() -> None:
    forget, unseen = torch.tensor([9.0, 1.0]), torch.tensor([0.0, 2.0])
    found = auc(forget, torch.tensor([1, 0]), unseen, torch.tensor([0, 0]))
    assert found
    assert found[0] == 50
    assert auc(forget, torch.tensor([1, 1]), unseen, torch.tensor([0, 0])) is None


def test_margin_does_not_tie_where_a_float32_probability_is_one() -> None:
    logits = torch.tensor([[40.0, 0.0, 0.0], [50.0, 0.0, 0.0]])
    assert logits.softmax(1)[0, 0] == logits.softmax(1)[1, 0] == 1
    margins = confidence_margin(logits, torch.tensor([0, 0]))
    assert margins.tolist() == pytest.approx([40 - np.log(2), 50 - np.log(2)])


def predictions(generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.randn(50, 3, generator=generator), torch.randint(3, (50,), generator=generator)


def test_metric_is_the_function_over_all_batches() -> None:
    metric, generator = AUC(), torch.Generator().manual_seed(0)
    batches = {role: predictions(generator) for role in ("forget", "unseen")}
    for role, (logits, targets) in batches.items():
        for part in zip(logits.split(20), targets.split(20), strict=True):
            metric.update(role, *part)
    (forget, forget_targets), (unseen, unseen_targets) = batches.values()
    margins = confidence_margin(forget, forget_targets), confidence_margin(unseen, unseen_targets)
    assert metric.compute() == auc(margins[0], forget_targets, margins[1], unseen_targets)
