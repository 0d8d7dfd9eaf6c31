"""Command lines that nobody should type: each is one clear line before anything is written, never a traceback."""

from pathlib import Path
from string import ascii_lowercase, printable

import pytest
from hydra.errors import HydraException
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dau_lightning.base.error import InputError
from dau_lightning.run.check import check

NUMBERS = [
    "seed",
    "dataset.train_limit",
    "dataset.test_limit",
    "scheme.fraction",
    "recipe.epochs",
    "recipe.lr",
    "recipe.batch_size",
    "baseline.lr",
    "baseline.epochs",
    "baseline.momentum",
    "baseline.attacker_lr",
    "baseline.pretraining_steps",
    "baseline.retain_batch_size",
    "baseline.adversarial_weight",
    "baseline.sensitivity.noise_scale",
    "trainer.devices",
    "checkpoint.seconds",
    "metric.entropy.resolution",
]
CHOICES = [
    "reference",
    "wandb.mode",
    "trainer.accelerator",
    "trainer.precision",
    "baseline.schedule",
    "baseline.batch_norm",
    "overwrite",
]
GROUPS = [
    "dataset",
    "network",
    "recipe",
    "scheme",
    "sparsity",
    "baseline",
    "metric",
    "experiment",
    "baseline/attacker",
    "baseline/penalty",
]
words = st.text(ascii_lowercase, min_size=3, max_size=12).filter(
    lambda word: word not in ("null", "true", "false", "inf", "nan")
)
nonsense = words.map(lambda word: f"xx{word}")
wrong = st.one_of(
    st.floats(max_value=-1e-9).map(str),
    nonsense,
    st.just("nan"),
    st.just("[1]"),
    st.just("{a: 1}"),
    st.just("''"),
    st.just("true"),
)
lines = st.one_of(
    st.tuples(st.sampled_from(NUMBERS), wrong).map("=".join),
    st.tuples(st.sampled_from(CHOICES), nonsense).map("=".join),
    st.tuples(st.sampled_from(GROUPS), nonsense).map("=".join),
    st.tuples(nonsense, words).map("=".join),
    st.tuples(st.sampled_from(NUMBERS), nonsense).map(lambda pair: f"{pair[0]}.{pair[1]}=1"),
    st.tuples(st.sampled_from("+~"), st.sampled_from(NUMBERS + GROUPS)).map(lambda pair: f"{pair[0]}{pair[1]}=1"),
    st.tuples(st.sampled_from(NUMBERS), st.sampled_from(["[1", "{1", "'1", "1,2", "${seed", "${nowhere}", "range(3)"])).map(
        "=".join
    ),
    st.text(printable, min_size=1).filter(lambda text: "=" not in text and not text.startswith("-")),
    st.text(min_size=1).map(lambda text: f"xx{text}={text}"),
    st.tuples(st.sampled_from(GROUPS), words).map(lambda pair: f"{pair[0]}@{pair[1]}=none"),
)


@settings(max_examples=200, deadline=None, derandomize=True, database=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(lines, min_size=1, max_size=3))
def test_two_hundred_malformed_lines(arguments: list[str]) -> None:
    before = sorted(Path.cwd().iterdir())
    with pytest.raises((InputError, HydraException)) as caught:
        check(arguments)
    assert str(caught.value).strip()
    assert len(str(caught.value)) < 5000
    assert sorted(Path.cwd().iterdir()) == before


FILES = {
    "no yaml": b"lr: [1",
    "a tab": b"\tlr: 1",
    "a list": b"- 1\n- 2",
    "a word": b"finetune",
    "nothing": b"",
    "no text": b"\xff\xfe\x00\x01",
    "a default that is not there": b"defaults:\n  - nowhere\nlr: 1",
    "itself as a default": b"defaults:\n  - mine\nlr: 1",
    "a value from nowhere": b"defaults:\n  - finetune\nlr: ${nowhere}",
    "values from each other": b"defaults:\n  - finetune\nlr: ${baseline.momentum}\nmomentum: ${baseline.lr}",
    "an unknown resolver": b"defaults:\n  - finetune\nlr: ${eval:1+1}",
    "a value out of range": b"defaults:\n  - finetune\nlr: -1",
    "a value of another type": b"defaults:\n  - finetune\nlr: fast",
    "a key twice": b"lr: 1\nlr: 2",
    "an anchor in itself": b"a: &a [*a]",
    "a call": b"!!python/object/apply:os.mkdir ['written-by-yaml']",
    "no target": b"lr: 0.1",
}


@pytest.mark.parametrize("name", FILES)
def test_a_malformed_yaml_of_ones_own(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "conf" / "baseline").mkdir(parents=True)
    (tmp_path / "conf" / "baseline" / "mine.yaml").write_bytes(FILES[name])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError) as caught:
        check(["baseline=mine", f"hydra.searchpath=['{tmp_path / 'conf'}']"])
    assert 20 < len(str(caught.value)) < 1000
    assert len(str(caught.value).splitlines()) == 1
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["baseline", "conf", "mine.yaml"]
