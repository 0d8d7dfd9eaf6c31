"""The learning rate over a training."""

import pytest

from dau_lightning.training.schedule import rate_factor


@pytest.mark.parametrize(
    ("schedule", "values"),
    [
        ("constant", {0: 1, 0.5: 1, 0.999: 1}),
        ("linear", {0: 1, 0.25: 0.75, 0.5: 0.5, 0.9: 0.1}),
        ("cosine", {0: 1, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25}),
        ("one_cycle", {0: 0.1, 0.1: 0.55, 0.2: 1, 0.6: 0.5, 0.8: 0.25, 0.96: 0.05}),
        ("step", {0: 1, 90.99 / 182: 1, 91 / 182: 0.1, 135.99 / 182: 0.1, 136 / 182: 0.01, 0.9999: 0.01}),
    ],
)
def test_rate_factor(schedule: str, values: dict[float, float]) -> None:
    for progress, value in values.items():
        assert rate_factor(schedule, progress, [91 / 182, 136 / 182]) == pytest.approx(value, abs=1e-12)


def test_rate_factor_takes_milestones_only_for_step() -> None:
    assert rate_factor("linear", 0.5, [0.1]) == 0.5
    assert rate_factor("step", 0.99) == 1


def test_rate_factor_refuses_another_schedule() -> None:
    with pytest.raises(ValueError, match=r"schedule must be constant, linear, cosine, one_cycle or step, got 'sine'"):
        rate_factor("sine", 0.5)
