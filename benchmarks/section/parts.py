"""The share of each part of a DAU step."""

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

import torch

from benchmarks.clock import ByTurns, now
from benchmarks.table import Table
from benchmarks.workload import Workload
from dau_lightning.data.loader import JointLoader
from dau_lightning.game.player import FormulaPlayer
from dau_lightning.game.sensitivity import Sensitivity

CPU, CUDA = ("resnet9", 1000), ("resnet18", 50_000)  # network, images
SWALLOWS = "attacker's step"  # with all that it calls


class Parts:
    """Seconds of named parts, those of a part within a part not counted twice."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.seconds: dict[str, float] = defaultdict(float)
        self.open: list[list[Any]] = []  # name and the seconds of parts inside

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Count what is done inside as a part."""
        if self.open and self.open[-1][0] == SWALLOWS:
            yield
            return
        start = now(self.device)
        self.open.append([name, 0.0])
        try:
            yield
        finally:
            took = now(self.device) - start
            _, inside = self.open.pop()
            self.seconds[name] += took - inside
            if self.open:
                self.open[-1][1] += took

    def of(self, function: Callable[..., Any], name: str) -> Callable[..., Any]:
        """The function, counted as a part."""

        def call(*args: Any, **keywords: Any) -> Any:
            with self.part(name):
                return function(*args, **keywords)

        return call


def measure(device: torch.device) -> Table:
    """A row a part, for our game, and for the paper's without and with its ten noisy copies."""
    games = {"dau": [], "dau_paper, n = 0": ["baseline.sensitivity.copies=0"], "dau_paper, n = 10": []}
    columns = {f"{name}, %": _shares(device, name.partition(",")[0], settings) for name, settings in games.items()}
    names = sorted({name for column in columns.values() for name in column}, key=lambda name: name == "the rest")
    rows = [{"part": name, **{title: column.get(name, 0.0) for title, column in columns.items()}} for name in names]
    return Table("Parts of a DAU step, batches of the defaults", rows, "the noisy copies' passes are defender forward")


def _shares(device: torch.device, baseline: str, settings: Sequence[str]) -> dict[str, float]:
    """Percent of a step, by part."""
    network, images = CUDA if device.type == "cuda" else CPU
    work = Workload(network, baseline, ["baseline.pretraining_steps=0", *settings], images)
    module: Any = work.module()
    parts, steps = Parts(device), list[dict[str, float]]()
    for owner, attribute, name in (
        (module.defender, "forward", "defender forward"),
        (module.attacker, "step", SWALLOWS),
        (module.attacker, "loss" if isinstance(module.attacker, FormulaPlayer) else "membership", "attacker forward"),
        (module.regulariser, "forward", "regulariser"),
        (module, "descend", "defender backward and step"),
    ):
        object.__setattr__(owner, attribute, parts.of(getattr(owner, attribute), name))

    def take() -> None:
        steps.append(dict(parts.seconds))
        parts.seconds.clear()

    turns = ByTurns(take, blocks=5, warm_up=1)
    with (
        patch.object(JointLoader, "batch", parts.of(JointLoader.batch, "batches")),
        patch.object(Sensitivity, "__call__", parts.of(Sensitivity.__call__, "noise and its comparison")),
    ):
        work.fit(module, turns)
    step = sum(turns.ours[1:])
    shares = {name: 100 * sum(seconds[name] for seconds in steps[1:]) / step for name in steps[-1]}
    return {**shares, "the rest": 100 - sum(shares.values())}
