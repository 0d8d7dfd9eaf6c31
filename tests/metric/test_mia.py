import math
from pathlib import Path

import numpy as np
import pytest
import torch
from omegaconf import OmegaConf
from sklearn.svm import SVC
from torch import Tensor

from dau_lightning.base.randomness import generator
from dau_lightning.metric import mia, svm_attack
from dau_lightning.metric.mia import as_rows, fitted, is_member
from dau_lightning.metric.svm_attack import DRAWS, SVMAttack, is_void

CONF = Path(__file__).parents[2] / "conf" / "metric"
VECTOR = torch.tensor([[0.7, 0.2, 0.1]])


def predictions(
    count: int, seed: int = 0, sharpness: float = 2.0, classes: int = 5, lead: float = 0.0
) -> tuple[Tensor, Tensor]:
    """Logits and labels, whose logits have a lead."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(count, classes))
    targets = generator.integers(classes, size=count)
    logits[np.arange(count), targets] += lead
    return torch.from_numpy((sharpness * logits).astype(np.float32)), torch.from_numpy(targets)


def log(probability: float) -> float:
    return math.log(max(probability, 1e-30))


def test_entropy() -> None:
    assert mia.entropy(VECTOR).item() == pytest.approx(0.80182, abs=5e-6)
    logits, targets = predictions(50)
    probabilities = logits.softmax(1)
    expected = [-sum(p * log(p) for p in row) for row in probabilities.double().tolist()]
    np.testing.assert_allclose(mia.entropy(probabilities, targets), expected, rtol=1e-5)


@pytest.mark.parametrize(("label", "value"), [(0, 0.16217), (1, 2.14087), (2, 2.95974)])
def test_modified_entropy_of_the_vector(label: int, value: float) -> None:
    assert mia.modified_entropy(VECTOR, torch.tensor([label])).item() == pytest.approx(value, abs=5e-6)


def test_modified_entropy_takes_each_row_at_its_own_label() -> None:
    found = mia.modified_entropy(VECTOR.repeat(3, 1), torch.tensor([2, 0, 1]))
    assert found.tolist() == pytest.approx([2.95974, 0.16217, 2.14087], abs=5e-6)
    assert not torch.isclose(found, torch.tensor(3.46688), atol=0.1).any()  # log p in place of log(1 - p)
    logits, targets = predictions(50)
    probabilities = logits.softmax(1)
    expected = [
        -(1 - row[y]) * log(row[y]) - sum(p * log(1 - p) for i, p in enumerate(row) if i != y)
        for row, y in zip(probabilities.double().tolist(), targets.tolist(), strict=True)
    ]
    np.testing.assert_allclose(mia.modified_entropy(probabilities, targets), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("label", "modified"), [(0, 0.0), (1, 2 * 30 * math.log(10))])
def test_logarithms_are_clipped(label: int, modified: float) -> None:
    certain = torch.tensor([[1.0, 0.0, 0.0]])
    assert mia.entropy(certain).item() == 0
    assert mia.modified_entropy(certain, torch.tensor([label])).item() == pytest.approx(modified, rel=1e-6)


def test_entropies_are_low_for_members() -> None:
    sure, unsure = torch.tensor([[0.98, 0.01, 0.01], [0.4, 0.3, 0.3]]).split(1)
    label = torch.tensor([0])
    assert mia.entropy(sure) < mia.entropy(unsure)
    assert mia.modified_entropy(sure, label) < mia.modified_entropy(unsure, label)


def test_simple_statistics() -> None:
    probabilities, targets = torch.tensor([[0.7, 0.2, 0.1], [0.3, 0.1, 0.6]]), torch.tensor([1, 2])
    assert mia.correctness(probabilities, targets).tolist() == [0, 1]
    assert mia.correctness(probabilities, targets).dtype == torch.float32
    assert mia.confidence(probabilities, targets).tolist() == pytest.approx([0.2, 0.6])
    assert mia.max_confidence(probabilities, targets).tolist() == pytest.approx([0.7, 0.6])
    assert torch.equal(mia.probability(probabilities, targets), probabilities)


def efficacy(*scores: Tensor) -> float:
    """The share of forget samples that an attack fitted on members and nonmembers calls nonmember, in percent."""
    member, nonmember, forget = map(as_rows, scores)
    return 100 * float((~is_member(fitted(member, nonmember), forget)).mean())


def expected_efficacy(member: Tensor, nonmember: Tensor, forget: Tensor) -> float:
    """The attack of EVALUATION section 1, straight from scikit-learn: members are class 1."""
    arrays = [scores.double().numpy().reshape(len(scores), -1) for scores in (member, nonmember, forget)]
    labels = [1] * len(member) + [0] * len(nonmember)
    fitted = SVC(C=3, gamma="auto", kernel="rbf").fit(np.concatenate(arrays[:2]), labels)
    return 100 * sum(int(label) == 0 for label in fitted.predict(arrays[2])) / len(forget)


@pytest.mark.parametrize("width", [None, 1, 4])
def test_efficacy_is_the_published_attack(width: int | None) -> None:
    generator = np.random.default_rng(0)
    shape = () if width is None else (width,)
    samples = [
        torch.from_numpy(generator.normal(mean, 1, size=(count, *shape))) for mean, count in ((1, 40), (0, 40), (0.6, 30))
    ]
    expected = expected_efficacy(*samples)
    assert 0 < expected < 100
    assert efficacy(*samples) == pytest.approx(expected)


def test_efficacy_of_separable_scores() -> None:
    member, nonmember = torch.linspace(0.9, 1, 20), torch.linspace(0, 0.1, 20)
    assert efficacy(member, nonmember, torch.linspace(0, 0.05, 7)) == 100
    assert efficacy(member, nonmember, torch.linspace(0.95, 1, 7)) == 0
    assert efficacy(member, nonmember, torch.tensor([0.01, 0.99, 0.98, 0.97])) == 25


def test_efficacy_needs_no_detached_scores() -> None:
    member, nonmember = torch.linspace(0.9, 1, 20).requires_grad_(), torch.linspace(0, 0.1, 20).bfloat16()
    assert efficacy(member, nonmember, torch.tensor([0.01])) == 100


def overlapping(count: int) -> list[Tensor]:
    """Confidences of members, nonmembers and forget samples as trained networks give them: most near 1, many equal."""
    draws = np.random.default_rng(0)
    shapes = ((20, 0.5), (4, 0.8), (8, 0.6))
    return [torch.tensor(draws.beta(*shape, size=count)).clamp(max=0.9999).float() for shape in shapes]


def test_equal_scores_weigh_as_many_points() -> None:
    member, nonmember, forget = (scores.mul(50).round() / 50 for scores in overlapping(400))
    assert len(member.unique()) < 40
    assert efficacy(member, nonmember, forget) == expected_efficacy(member, nonmember, forget)


def decisions(scores: list[np.ndarray], resolution: float | None) -> np.ndarray:
    member, nonmember, _ = scores
    return mia.fitted(member, nonmember, resolution).predict(np.concatenate(scores))


@pytest.mark.parametrize(("classes", "lead"), [(5, 0.0), (100, 4.0)])
@pytest.mark.parametrize("statistic", ["confidence", "max_confidence", "entropy", "modified_entropy", "probability"])
def test_rounded_scores_give_the_same_decisions(statistic: str, classes: int, lead: float) -> None:
    resolution = OmegaConf.load(CONF / f"{statistic}.yaml")[statistic].resolution
    parts = [predictions(600, seed, scale, classes, lead) for seed, scale in ((0, 6.0), (1, 3.0), (2, 4.0))]
    scores = [getattr(mia, statistic)(logits.softmax(1), targets).double().view(600, -1).numpy() for logits, targets in parts]
    exact = decisions(scores, None)
    assert 0.1 < exact.mean() < 0.9
    assert (exact == decisions(scores, resolution)).mean() >= 0.995
    assert (exact == decisions(scores, 2.0 * scores[0].shape[1])).mean() < 0.99  # too coarse


@pytest.mark.parametrize(
    "statistic", ["correctness", "confidence", "max_confidence", "entropy", "modified_entropy", "probability"]
)
def test_attack_of_batches_is_the_attack_of_everything(statistic: str) -> None:
    parts = {"member": predictions(40, 0, 3.0), "nonmember": predictions(40, 1, 1.0), "forget": predictions(30, 2, 2.0)}
    attack = SVMAttack(statistic, seed=0)
    for batch in range(4):
        for role, (logits, targets) in parts.items():
            attack.update(role, logits[10 * batch : 10 * batch + 10], targets[10 * batch : 10 * batch + 10])
    scores = [getattr(mia, statistic)(logits.softmax(1), targets) for logits, targets in parts.values()]
    expected = expected_efficacy(*scores)
    assert attack.compute().efficacy == pytest.approx(expected, abs=1e-9)
    whole = SVMAttack(statistic, seed=0)
    for role, (logits, targets) in parts.items():
        whole.update(role, logits, targets)
    assert whole.compute().efficacy == pytest.approx(expected, abs=1e-9)


def test_attack_knows_roles() -> None:
    sure, unsure = torch.tensor([[9.0, 0.0]]).repeat(8, 1), torch.zeros(8, 2)
    targets = torch.zeros(8, dtype=torch.long)
    for member, nonmember, expected in ((sure, unsure, 0), (unsure, sure, 100)):
        attack = SVMAttack("confidence", seed=0)
        for role, logits in (("member", member), ("nonmember", nonmember), ("forget", sure)):
            attack.update(role, logits, targets)
        assert attack.compute().efficacy == expected


def test_attack_starts_again_after_a_reset_and_in_a_clone() -> None:
    sure, unsure, targets = torch.tensor([[9.0, 0.0]]).repeat(8, 1), torch.zeros(8, 2), torch.zeros(8, dtype=torch.long)
    attack = SVMAttack("confidence", seed=0)
    for role, logits in (("member", sure), ("nonmember", unsure), ("forget", sure)):
        attack.update(role, logits, targets)
    other = attack.clone()
    other.reset()
    for role, logits in (("member", sure), ("nonmember", unsure), ("forget", unsure)):
        other.update(role, logits, targets)
    assert (attack.compute().efficacy, other.compute().efficacy) == (0, 100)


def drawn(monkeypatch: pytest.MonkeyPatch, seed: int, members: int, nonmembers: int) -> list[list[list[int]]]:
    """The members and nonmembers of each draw by their number; the score of sample i of n is about i / n."""
    draws: list[list[list[int]]] = []
    counts = members, nonmembers

    def keep(*scores: np.ndarray) -> SVC:
        draws.append(
            [(part[:, 0] * count - 0.5).round().astype(int).tolist() for part, count in zip(scores[:2], counts, strict=True)]
        )
        return fitted(scores[0] + 1, scores[1])

    monkeypatch.setattr(svm_attack, "fitted", keep)
    attack = SVMAttack("confidence", seed)
    for role, count in (("member", members), ("nonmember", nonmembers), ("forget", 3)):
        confidence = (torch.arange(count) + 0.5) / count
        attack.update(role, torch.stack([confidence, 1 - confidence], 1).log(), torch.zeros(count, dtype=torch.long))
    attack.compute()
    return draws


@pytest.mark.parametrize(("members", "nonmembers"), [(50, 12), (12, 50)])
def test_each_draw_cuts_to_the_smaller_count_at_random(monkeypatch: pytest.MonkeyPatch, members: int, nonmembers: int) -> None:
    draws = drawn(monkeypatch, 0, members, nonmembers)
    assert len(draws) == DRAWS
    larger = [draw[members < nonmembers] for draw in draws]
    assert all(sorted(draw[members > nonmembers]) == list(range(12)) for draw in draws)
    assert all(len(set(numbers)) == 12 for numbers in larger)
    assert len({tuple(sorted(numbers)) for numbers in larger}) == len(larger)
    assert drawn(monkeypatch, 0, members, nonmembers) == draws
    assert drawn(monkeypatch, 1, members, nonmembers) != draws


def test_draws_are_uniform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(svm_attack, "DRAWS", 1)  # the first of several is the same
    counts = np.zeros(20)
    for seed in range(100):
        counts[drawn(monkeypatch, seed, 20, 10)[0][0]] += 1
    assert counts.min() > 25  # 50 expected, standard deviation 5
    assert counts.max() < 75


def test_the_median_of_the_draws_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    attack = SVMAttack("confidence", seed=3)
    parts = {"member": predictions(60, 0, 3.0), "nonmember": predictions(40, 1, 1.0), "forget": predictions(30, 2, 2.0)}
    for role, part in parts.items():
        attack.update(role, *part)
    draws = generator(3, "members and nonmembers")
    scores = {role: mia.confidence(logits.softmax(1), targets) for role, (logits, targets) in parts.items()}
    found = []
    for _ in range(DRAWS):
        members, nonmembers = (
            scores[role][torch.randperm(len(scores[role]), generator=draws)[:40]] for role in ("member", "nonmember")
        )
        found.append(expected_efficacy(members, nonmembers, scores["forget"]))
    assert attack.compute() == pytest.approx((np.median(found), min(found), max(found), 0))


def test_a_void_draw_does_not_vote() -> None:
    """Members whose confidence is 1 in all but a few cases, and nonmembers that reach 1 as well: the SVM may turn around."""
    members = np.concatenate([np.full(60, 0.9), np.full(40, 0.999)])[:, None]
    nonmembers = np.concatenate([np.full(95, 1.0), np.full(5, 0.3)])[:, None]
    certain = np.ones((10, 1))
    assert is_void(fitted(members, nonmembers), members, certain)  # calls p_y = 1 a nonmember
    assert not is_void(fitted(nonmembers, members), nonmembers, certain)
    few = np.concatenate([np.full(30, 1.0), np.full(70, 0.5)])[:, None]
    others = np.concatenate([np.full(10, 1.0), np.full(90, 0.5)])[:, None]
    assert is_void(fitted(few, others), few, certain)  # wrong on most of its own members
    attack = SVMAttack("confidence", seed=0)
    for role, scores in (("member", members), ("nonmember", nonmembers), ("forget", certain)):
        column = torch.from_numpy(scores[:, 0]).float().clamp(max=1 - 1e-7)
        attack.update(role, torch.stack([column, 1 - column], 1).log(), torch.zeros(len(column), dtype=torch.long))
    assert attack.compute().voided == DRAWS


def test_attack_computes_in_float32() -> None:
    attack, (logits, targets) = SVMAttack("confidence", seed=0), predictions(20)
    attack.update("member", logits.bfloat16(), targets)
    assert attack.member[0].dtype == torch.float32
    exact = logits.bfloat16().double().softmax(1)[torch.arange(20), targets]
    torch.testing.assert_close(attack.member[0].double(), exact, rtol=1e-5, atol=0)


@pytest.mark.parametrize("missing", ["member", "nonmember", "forget"])
def test_attack_without_a_role(missing: str) -> None:
    attack = SVMAttack("confidence", seed=0)
    for role in {"member", "nonmember", "forget"} - {missing}:
        attack.update(role, *predictions(5))
    with pytest.raises(ValueError, match=r"(?i)samples"):
        attack.compute()
