import pytest
import torch
from torch.nn.functional import softmax

from dau_lightning.evaluation import outputs_collector
from dau_lightning.evaluation.outputs import FILE, read_outputs
from dau_lightning.evaluation.outputs_collector import OutputsCollector, _thumbnails
from dau_lightning.evaluation.trajectory import ROLES, measured
from dau_lightning.metric.svm_attack import SVMAttack

ATTACK = SVMAttack("confidence", seed=0)
CPU = torch.device("cpu")
PARTS = ["retain", "forget", "test_retain", "val"]


@pytest.fixture
def collected(tiny, monkeypatch):
    """A run of FT, few samples of it, with its models."""
    monkeypatch.setattr(outputs_collector, "SAMPLES", 10)
    monkeypatch.setattr(outputs_collector, "FEATURES", 4)
    monkeypatch.setattr(outputs_collector, "SHOWN", 5)
    split, collector = tiny.split(), OutputsCollector(tiny.split(), 0, tiny.transform, ATTACK, 2)
    models = {kind: tiny.module(defender=tiny.defender(seed)) for seed, kind in enumerate(("retrain", "original"))}
    models["finetune"] = tiny.module(defender=tiny.defender(1))
    (dynamics,) = collector.watchers()
    tiny.fit(models["finetune"], dynamics, split=split)
    for kind, module in models.items():
        collector.collect(kind, module.defender, CPU)
    labels = {"retrain": "Retrain", "original": "Original", "finetune": "FT"}
    collector.save(tiny.folder, labels, "finetune", dynamics.rows)
    return collector, models, read_outputs(tiny.folder), dynamics.rows


def test_the_file_holds_the_outputs_of_the_models_on_the_drawn_samples(collected, tiny):
    collector, models, outputs, _ = collected
    assert sorted(outputs.parts) == sorted(PARTS)
    for kind, module in models.items():
        module.defender.eval()
        for part in PARTS:
            images = getattr(tiny.split(), part)[collector.drawn[part]]
            with torch.no_grad():
                logits, features = module.defender(tiny.transform.normalise(images.images))
            torch.testing.assert_close(torch.from_numpy(outputs.logits(kind, part)), logits, atol=2e-3, rtol=2e-3)
            assert outputs.targets(part).tolist() == images.targets.tolist()
            expected = softmax(logits, 1)[torch.arange(len(images)), images.targets]
            found = outputs.confidence(kind, part)
            torch.testing.assert_close(torch.from_numpy(found), expected, atol=2e-3, rtol=0)
            if part in ("retain", "forget", "val"):
                kept = torch.linspace(0, len(images) - 1, 4).round().long()
                found = torch.from_numpy(outputs.arrays[f"{kind}/{part}/features"]).float()
                torch.testing.assert_close(found, features[kept], atol=2e-3, rtol=2e-3)


def test_the_seed_draws_the_samples_and_a_small_part_is_kept_whole(tiny, collected):
    collector = collected[0]
    assert {part: len(index) for part, index in collector.drawn.items()} == {part: 10 for part in PARTS}
    other = OutputsCollector(tiny.split(), 1, tiny.transform, ATTACK, 0).drawn["retain"].tolist()
    assert sorted(set(other)) == other != collector.drawn["retain"].tolist()
    few = OutputsCollector(tiny.split(forget=3), 0, tiny.transform, ATTACK, 0)
    assert few.drawn["forget"].tolist() == [0, 1, 2]


def test_thumbnails_and_names_are_those_of_the_shown_samples(collected, tiny):
    collector, _, outputs, _ = collected
    shown = tiny.split().forget[collector.drawn["forget"]][torch.from_numpy(outputs.arrays["forget/shown"])]
    assert outputs.arrays["forget/thumbnails"].tolist() == shown.images.tolist()
    assert outputs.class_names == ["a", "b", "c"]
    assert outputs.stages == {"original": "Original (before)", "finetune": "FT (after)", "retrain": "Retrain (reference)"}


def test_the_trajectory_has_a_reference_on_the_same_samples(collected):
    _, _, outputs, rows = collected
    assert outputs.arrays["dynamics/step"].tolist() == [0, 3, 6]
    assert outputs.arrays["dynamics/UA"].tolist() == pytest.approx([row["UA"] for row in rows])
    logits = {part: torch.from_numpy(outputs.logits("retrain", part)) for part in ROLES}
    targets = {part: torch.from_numpy(outputs.targets(part)) for part in ROLES}
    expected = measured(logits, targets, ATTACK)
    for name in ("UA", "RA", "TA"):  # MIA may change with the rounding to half precision
        assert outputs.arrays[f"dynamics/reference/{name}"].item() == pytest.approx(expected[name])


def test_without_points_there_is_no_trajectory(tiny):
    collector = OutputsCollector(tiny.split(), 0, tiny.transform, ATTACK, 0)
    assert collector.watchers() == []
    collector.collect("original", tiny.defender(), CPU)
    collector.save(tiny.folder, {"original": "Original"}, "original", [])
    outputs = read_outputs(tiny.folder)
    assert not [name for name in outputs.arrays if name.startswith("dynamics")]
    assert outputs.stages == {"original": "Original (before)"}


def test_thumbnails_are_64_pixels_at_most():
    images = torch.full((2, 3, 100, 200), 7, dtype=torch.uint8)
    assert _thumbnails(images).shape == (2, 3, 32, 64)
    assert _thumbnails(images).unique().tolist() == [7]
    assert _thumbnails(images[..., :64, :64]).shape == (2, 3, 64, 64)


def test_logits_beyond_half_precision_stay_finite(tiny):
    collector, defender = OutputsCollector(tiny.split(), 0, tiny.transform, ATTACK, 0), tiny.defender()
    with torch.no_grad():
        defender.network[-1].weight *= 1e9
    collector.collect("original", defender, CPU)
    collector.save(tiny.folder, {"original": "Original"}, "original", [])
    assert abs(read_outputs(tiny.folder).logits("original", "forget")).max() == pytest.approx(65504)
    assert (tiny.folder / FILE).is_file()
