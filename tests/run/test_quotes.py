"""Values as people type them, read by Hydra's own parser."""

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from dau_lightning.run.quotes import quoted


def read(argument: str) -> object:
    return OverridesParser.create().parse_override(argument).value()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("scheme.where", "user_id == 17"),
        ("scheme.where", 'country in ["NL"]'),
        ("scheme.where", "`user id` < 3 and b != 'x'"),
        ("scheme.where", 'name == "a\\"b"'),
        ("continue_from", "runs/digits/seed=0-6c40e03d"),
        ("original.checkpoint", "my runs/seed=0-6c40e03d/a.safetensors"),
        ("original.checkpoint", "my weights (final).pt"),
        ("dataset.root", "a b"),
        ("dataset.root", "a/~/x"),
        ("dataset.root", "/data/Bilder_größe"),
        ("dataset.root", '/data/[new] {2024}; it\'s #1, "last" & all!'),
        ("dataset.root", 'ends with "quotes\\"'),
        ("dataset.root", "größe\\"),
        ("scheme.target", "猫"),
    ],
)
def test_hydra_reads_what_was_typed(name: str, value: str) -> None:
    argument = quoted(f"{name}={value}")
    assert read(argument) == value
    assert quoted(argument) == argument


@pytest.mark.parametrize("home", ["/home/me", "/home/a = b (1)"])
@pytest.mark.parametrize("value", ["~/cache", "~/my runs/seed=~/x", "'~/a b'", '"~/a"'])
@pytest.mark.parametrize("name", ["store.root", "hydra.run.dir", "dataset.root"])
def test_a_value_that_begins_at_home_is_there(monkeypatch: pytest.MonkeyPatch, home: str, value: str, name: str) -> None:
    monkeypatch.setenv("HOME", home)
    assert read(quoted(f"{name}={value}")) == home + value.strip("'\"")[1:]
    assert read(quoted("scheme.target=~x")) == "~x"


def test_lists_and_sweeps_keep_their_commas() -> None:
    assert read(quoted("scheme.target=[3,猫, a b]")) == [3, "猫", "a b"]
    assert quoted("scheme.target=猫,dog,3", sweep=True) == 'scheme.target="猫",dog,3'
    assert read(quoted("dataset.root=größe, neu")) == "größe, neu"


@pytest.mark.parametrize(
    "argument",
    [
        *("--config-dir=a=b", "--config-dir=größe", "-m", "seed=0,1", "scheme.target=[3,cat]", "seed=choice(0,1)", "a=${b}"),
        *("scheme.where='user_id == 17'", "scheme.where=null", 'continue_from="runs/seed=0-6c"', "~seed", "+a=1", "a=x\\,y"),
        *("metric=[confidence,entropy]", "trainer={devices:1}", "dataset.root=C:\\data", "dataset.root='größe'", "größe"),
    ],
)
def test_what_hydra_reads_stays(argument: str) -> None:
    assert quoted(argument) == quoted(argument, sweep=True) == argument
