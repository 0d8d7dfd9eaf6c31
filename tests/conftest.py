"""What tests are given. The process that hands them out to others reads this too, and needs no torch for it."""

import copy
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.hydra import Hydra
from hydra.core.global_hydra import GlobalHydra

import train
from dau_lightning.base.error import one_line
from dau_lightning.run import command_line as settings


@pytest.fixture
def tiny(tmp_path: Path) -> Any:
    """See `world.Tiny`."""
    from tests.world import Tiny

    return Tiny(tmp_path)


@pytest.fixture
def make_images() -> Callable[..., Any]:
    """See `world.random_images`."""
    from tests.world import random_images

    return random_images


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    """Call the command line in this process; gives what it printed."""

    def call(*arguments: str) -> str:
        monkeypatch.setattr(sys, "argv", ["train.py", *arguments])
        with one_line():
            settings.check(sys.argv[1:], train.CONF)
            train.main()
        return capsys.readouterr().out

    return call


def untraced(function: Callable[..., Any]) -> Callable[..., Any]:
    """The same without the tracer of coverage, which doubles the time of what runs in libraries."""

    def call(*arguments: Any, **named: Any) -> Any:
        tracer = sys.gettrace()
        sys.settrace(None)
        try:
            return function(*arguments, **named)
        finally:
            sys.settrace(tracer)
            sys._getframe().f_trace = tracer  # so that it sees this call return, as it saw it begin

    return call


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run a test that is marked so without the tracer of coverage; pytest-cov's own marker does nothing under xdist."""
    tracer = sys.gettrace()
    if item.get_closest_marker("untraced"):
        sys.settrace(None)
    try:
        return (yield)
    finally:
        sys.settrace(tracer)


@pytest.fixture(scope="session", autouse=True)
def composing_costs_little() -> Iterator[None]:
    """Hydra composes untraced, and the check of a command line each choice once: it takes 0.1 s, and most choose the same."""
    compose = settings._compose

    @cache
    def composed(searched: str, name: str, hydra: tuple[str, ...], picked: tuple[str, ...]) -> Any:
        return compose(name, [*hydra], [*picked])

    def copied(name: str, hydra: list[str], picked: list[str]) -> Any:
        searched = GlobalHydra.instance().config_loader().get_search_path()
        return copy.deepcopy(composed(str(searched), name, tuple(hydra), tuple(picked)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "_compose", copied)
        patch.setattr(Hydra, "compose_config", untraced(Hydra.compose_config))
        yield
