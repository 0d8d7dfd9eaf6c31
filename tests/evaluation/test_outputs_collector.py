import pytest
import torch
from torch.nn.functional import softmax

from dau_lightning.evaluation import outputs_collector as witness
from dau_lightning.evaluation.outputs import FILE, confidence, read_outputs
from dau_lightning.evaluation.outputs_collector import OutputsCollector, _thumbnails
from dau_lightning.evaluation.trajectory import ROLES, measured
from dau_lightning.metric.mia import SVMAttack

ATTACK = SVMAttack("confidence", seed=0)
PARTS = ["retain", "forget", "test_retain", "val"]


@pytest.fixture
def watched(tiny, monkeypatch):
    """A run of FT, few samples of it, with its models."""
    monkeypatch.setattr(witness, "SAMPLES", 10)
    monkeypatch.setattr(witness, "FEATURES", 4)
    monkeypatch.setattr(witness, "SHOWN", 5)
    split, seen = tiny.split(), OutputsCollector(tiny.split(), 0, tiny.transform, ATTACK, 2)
    models = {kind: tiny.module(defender=tiny.defender(seed)) for seed, kind in enumerate(("retrain", "original"))}
    models["finetune"] = tiny.module(defender=tiny.defender(1))
    (dynamics,) = seen.watchers()
    tiny.fit(models["finetune"], dynamics, split=split)
    for kind, module in models.items():
        tiny.test(module, seen.recorder(kind), parts=PARTS, split=split)
    labels = {"retrain": "Retrain", "original": "Original", "finetune": "FT"}
    seen.save(tiny.folder, labels, "finetune", "12 of 48 images", dynamics.rows)
    return seen, models, read_outputs(tiny.folder), dynamics.rows


def test_the_file_holds_what_the_models_say_of_the_drawn_samples(watched, tiny):
    seen, models, evidence, _ = watched
    assert sorted(evidence.parts) == sorted(PARTS)
    for kind, module in models.items():
        module.defender.eval()
        for part in PARTS:
            images = getattr(tiny.split(), part)[seen.drawn[part]]
            with torch.no_grad():
                logits, features = module.defender(tiny.transform.normalise(images.images))
            torch.testing.assert_close(torch.from_numpy(evidence.logits(kind, part)), logits, atol=2e-3, rtol=2e-3)
            assert evidence.targets(part).tolist() == images.targets.tolist()
            expected = softmax(logits, 1)[torch.arange(len(images)), images.targets]
            found = confidence(evidence.logits(kind, part), evidence.targets(part))
            torch.testing.assert_close(torch.from_numpy(found), expected, atol=2e-3, rtol=0)
            if part in ("retain", "forget", "val"):
                kept = torch.linspace(0, len(images) - 1, 4).round().long()
                found = torch.from_numpy(evidence.arrays[f"{kind}/{part}/features"]).float()
                torch.testing.assert_close(found, features[kept], atol=2e-3, rtol=2e-3)


def test_few_samples_are_drawn_by_the_seed_and_all_of_a_small_part(tiny, watched):
    seen = watched[0]
    assert {part: len(index) for part, index in seen.drawn.items()} == {part: 10 for part in PARTS}
    other = OutputsCollector(tiny.split(), 1, tiny.transform, ATTACK, 0).drawn["retain"].tolist()
    assert sorted(set(other)) == other != seen.drawn["retain"].tolist()
    few = OutputsCollector(tiny.split(forget=3), 0, tiny.transform, ATTACK, 0)
    assert few.drawn["forget"].tolist() == [0, 1, 2]


def test_images_and_names(watched, tiny):
    seen, _, evidence, _ = watched
    shown = tiny.split().forget[seen.drawn["forget"]][torch.from_numpy(evidence.arrays["forget/shown"])]
    assert evidence.arrays["forget/thumbnails"].tolist() == shown.images.tolist()
    assert evidence.ids == list(shown.ids)
    assert (evidence.class_names, evidence.title) == (["a", "b", "c"], "12 of 48 images")
    assert evidence.stages == {"original": "Original (before)", "finetune": "FT (after)", "retrain": "Retrain (reference)"}


def test_dynamics_and_the_reference_on_the_same_samples(watched):
    _, _, evidence, rows = watched
    assert evidence.arrays["dynamics/step"].tolist() == [0, 3, 6]
    assert evidence.arrays["dynamics/UA"].tolist() == pytest.approx([row["UA"] for row in rows])
    logits = {part: torch.from_numpy(evidence.logits("retrain", part)) for part in ROLES}
    targets = {part: torch.from_numpy(evidence.targets(part)) for part in ROLES}
    expected = measured(logits, targets, ATTACK)
    for name in ("UA", "RA", "TA"):  # MIA may change with the rounding to half precision
        assert evidence.arrays[f"dynamics/reference/{name}"].item() == pytest.approx(expected[name])


def test_no_points_no_dynamics(tiny):
    seen = OutputsCollector(tiny.split(), 0, tiny.transform, ATTACK, 0)
    assert seen.watchers() == []
    tiny.test(tiny.module(), seen.recorder("original"), parts=PARTS)
    seen.save(tiny.folder, {"original": "Original"}, "original", "", [])
    evidence = read_outputs(tiny.folder)
    assert not [name for name in evidence.arrays if name.startswith("dynamics")]
    assert evidence.stages == {"original": "Original (before)"}


def test_large_images_become_thumbnails():
    images = torch.full((2, 3, 100, 200), 7, dtype=torch.uint8)
    assert _thumbnails(images).shape == (2, 3, 32, 64)
    assert _thumbnails(images).unique().tolist() == [7]
    assert _thumbnails(images[..., :64, :64]) is not None
    assert _thumbnails(images[..., :64, :64]).shape == (2, 3, 64, 64)


def test_logits_beyond_half_precision_stay_finite(tiny):
    seen, module = OutputsCollector(tiny.split(), 0, tiny.transform, ATTACK, 0), tiny.module()
    with torch.no_grad():
        module.defender.network[-1].weight *= 1e9
    tiny.test(module, seen.recorder("original"), parts=PARTS)
    seen.save(tiny.folder, {"original": "Original"}, "original", "", [])
    assert abs(read_outputs(tiny.folder).logits("original", "forget")).max() == pytest.approx(65504)
    assert (tiny.folder / FILE).is_file()
