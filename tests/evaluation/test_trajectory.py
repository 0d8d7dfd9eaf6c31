import numpy as np
import pytest
import torch
from sklearn.svm import SVC

from dau_lightning.baseline.finetune import FineTune
from dau_lightning.baseline.gradient_ascent import GradientAscent
from dau_lightning.evaluation.trajectory import ROLES, Trajectory, measured
from dau_lightning.metric.svm_attack import SVMAttack
from dau_lightning.tracking.metrics_csv import MetricsCSV
from dau_lightning.training.clock import Clock
from dau_lightning.training.module import UnlearningModule

ATTACK = SVMAttack("confidence", seed=0)


def watch(tiny, points=3, split=None):
    split = split or tiny.split()
    return Trajectory({part: getattr(split, part) for part in ROLES}, tiny.transform, ATTACK, points)


def test_measured_numbers_are_those_of_numpy_and_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    sizes = {"retain": 40, "forget": 15, "test_retain": 40}
    logits = {part: 2 * torch.randn(size, 3, generator=generator) for part, size in sizes.items()}
    targets = {part: torch.randint(3, (size,), generator=generator) for part, size in sizes.items()}
    found = measured(logits, targets, ATTACK)
    hits = {part: 100 * np.mean(logits[part].numpy().argmax(1) == targets[part].numpy()) for part in sizes}
    assert found["UA"] == pytest.approx(100 - hits["forget"])
    assert (found["RA"], found["TA"]) == pytest.approx((hits["retain"], hits["test_retain"]))
    scores = {}
    for part in sizes:
        exponents = np.exp(logits[part].numpy())
        chosen = (exponents / exponents.sum(1, keepdims=True))[np.arange(sizes[part]), targets[part].numpy()]
        scores[part] = chosen[:, None].astype(np.float64)
    attacker = SVC(C=3, gamma="auto").fit(np.concatenate([scores["retain"], scores["test_retain"]]), [1] * 40 + [0] * 40)
    assert found["MIA"] == pytest.approx(100 * np.mean(attacker.predict(scores["forget"]) == 0))


def test_the_training_does_not_notice(tiny):
    class Noisy(GradientAscent):
        def training_step(self, batch, batch_idx):
            torch.rand(1)  # whatever is drawn goes into the weights
            with torch.no_grad():
                for parameter in self.defender.parameters():
                    parameter += 1e-3 * torch.randn_like(parameter)
            return super().training_step(batch, batch_idx)

        def dynamics(self):
            torch.manual_seed(7)
            return {"attacker": float(torch.rand(1))}

    def trained(*callbacks):
        module = tiny.module(Noisy, batch_norm="update", batch_size=4)
        tiny.fit(module, *callbacks)
        return module.defender.state_dict(), torch.rand(1), module.defender.training

    plain, drawn, mode = trained()
    watched = watch(tiny)
    others, drawn_again, mode_again = trained(watched)
    assert len(watched.rows) == 4
    assert all("attacker" in row for row in watched.rows)
    assert plain.keys() == others.keys()
    assert all(torch.equal(plain[name], others[name]) for name in plain)
    assert torch.equal(drawn, drawn_again)
    assert mode == mode_again


def test_it_measures_before_on_the_way_and_after(tiny):
    module = tiny.module(epochs=2)
    before = measured_directly(tiny, module)
    watched = watch(tiny, points=3)
    tiny.fit(module, watched)
    assert [row["step"] for row in watched.rows] == [0, 2, 4, 6]  # 36 retain images, 12 a step, 2 epochs
    assert {name: watched.rows[0][name] for name in before} == before
    assert {name: watched.rows[-1][name] for name in before} == measured_directly(tiny, module)


def measured_directly(tiny, module):
    split = tiny.split()
    module.defender.eval()
    with torch.no_grad():
        logits = {part: module.defender(tiny.transform.normalise(getattr(split, part).images))[0] for part in ROLES}
    module.defender.train()
    return measured(logits, {part: getattr(split, part).targets for part in ROLES}, ATTACK)


def test_a_method_of_one_change_is_measured_before_and_after_it(tiny):
    class OneChange(UnlearningModule):
        def training_step(self, batch, batch_idx):
            return None

        def on_train_epoch_end(self):
            with torch.no_grad():
                for parameter in self.defender.parameters():
                    parameter.zero_()

    watched = watch(tiny, points=1)
    module = OneChange(defender=tiny.defender(), seed=0, batch_size=12)
    tiny.fit(module, watched)
    assert [row["step"] for row in watched.rows] == [0, 3]
    assert watched.rows[-1]["RA"] == pytest.approx(100 / 3)  # all of one class


def test_more_points_than_steps_measure_every_step(tiny):
    watched = watch(tiny, points=100)
    tiny.fit(tiny.module(epochs=1), watched)
    assert [row["step"] for row in watched.rows] == [0, 1, 2, 3]


def test_its_time_is_not_the_methods(tiny, monkeypatch):
    now = iter(range(0, 1000, 10))
    monkeypatch.setattr(Clock, "now", staticmethod(lambda device: next(now)))
    module, clock = tiny.module(epochs=2), Clock()
    tiny.fit(module, clock, watch(tiny, points=3))
    # the clock looks at 0, each of three measurements looks twice, 10 apart, the clock at 70
    assert (clock.seconds, module.untimed) == (70, 30)


def test_rows_reach_every_logger_and_the_csv_gives_them_back(tiny, tmp_path):
    watched = watch(tiny)
    tiny.fit(tiny.module(), watched, loggers=[MetricsCSV(tmp_path / "metrics.csv")])
    after_a_kill = MetricsCSV(tmp_path / "metrics.csv")
    assert after_a_kill.logged("dynamics") == watched.rows
    assert after_a_kill.logged("row") == []


def test_a_method_that_stops_early_ends_where_it_stopped(tiny):
    class Stops(FineTune):
        def on_train_epoch_end(self):
            self.trainer.should_stop = True

    module = tiny.module(Stops, epochs=4)
    watched = watch(tiny, points=12)
    tiny.fit(module, watched)
    assert [row["step"] for row in watched.rows] == [0, 1, 2, 3]
