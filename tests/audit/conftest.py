"""A case of made-up outputs, in which the answer of every test is known."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from dau_lightning.audit.case import Case, Outputs
from dau_lightning.audit.shadows import ShadowOutputs, members

SIZES = {"retain": 240, "forget": 120, "test_retain": 240}


def answers(targets: Tensor, confidence: float, seed: int, spread: float = 1.0) -> Tensor:
    """Logits `(N, 3)`: normal noise, and `confidence` more for the label."""
    noise = spread * torch.randn(len(targets), 3, generator=torch.Generator().manual_seed(seed))
    return noise.scatter_add(1, targets.unsqueeze(1), torch.full((len(targets), 1), confidence))


@pytest.fixture
def make_case(tiny: Any) -> Callable[..., Case]:
    """Makes a case; keywords give the confidence of each kind of model on the forget set, and sizes of parts.

    Every model has a confidence of 2 on unseen images and of 8 on retain images.
    """

    def make(sizes: dict[str, int] | None = None, **confidences: float) -> Case:
        models = {kind: tiny.defender(place) for place, kind in enumerate(confidences)}
        case = Case(tiny.split(**(SIZES | (sizes or {}))), tiny.training(), lambda **_: None, {}, models)  # type: ignore[arg-type]
        for place, (kind, confidence) in enumerate(confidences.items()):
            levels = {"forget": confidence, "retain": 8.0, "test_retain": 2.0, "unseen": 2.0, "test_forget": 2.0}
            for offset, (part, level) in enumerate(levels.items()):
                if part == "test_forget" and not len(case.split.test_forget):
                    continue
                logits = answers(case.part(part).targets, level, 100 * place + offset)
                case.known[kind, part] = Outputs(logits, logits.clone())
        return case

    return make


@pytest.fixture
def usual(make_case: Callable[..., Case]) -> Case:
    """The method is another Retrain; the original remembers everything."""
    return make_case(method=2.0, retrain=2.0, original=8.0, **{"retrain 0": 2.0})


def shadowed(case: Case, shadows: int, method: float) -> Case:
    """Give a case the margins of shadow models: `method` more for samples that were unlearned, 5 for those remembered."""
    draws, case.shadows = np.random.default_rng(0), shadows
    inside, tests = members(case), len(case.part("test"))
    for kind, more in (("original", 5.0), ("method", method), ("retrain", 0.0)):
        give_margins(case, kind, draws.normal(size=inside.shape) + more * inside, draws.normal(size=(shadows, tests)))
    return case


def give_margins(case: Case, kind: str, forget: np.ndarray, test: np.ndarray) -> None:
    """Give the shadow models of a kind outputs of three classes with these `phi`, `(S, N)` and `(S, T)`."""
    targets = case.part("forget").targets.expand(len(forget), -1).unsqueeze(2)
    logits = torch.zeros(*forget.shape, 3)
    logits = logits.scatter(2, targets, torch.from_numpy(forget + np.log(2)).float().unsqueeze(2))
    case.shadow_outputs[kind] = ShadowOutputs(logits, torch.from_numpy(test))
