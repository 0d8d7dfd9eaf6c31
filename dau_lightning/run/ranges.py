"""What a setting may be: one table of names to ranges.

A name means the same in every group, so one line serves all of them. A name outside the table takes the type of its
default in the yaml: a new method needs no line here, and its constructor checks what is special to it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isfinite
from typing import Any


@dataclass(frozen=True)
class Rule:
    """What a setting must be, in words and as a test."""

    what: str
    accepts: Callable[[Any], bool]


def integer(low: float = -inf, high: float = inf) -> Rule:
    """An integer within bounds, both allowed."""
    bounds = f" from {low} to {high}" if high < inf else f" of at least {low}" if low > -inf else ""
    return Rule(f"an integer{bounds}", lambda value: type(value) is int and low <= value <= high)  # a bool is an int, too


def number(above: float = -inf, at_least: float = -inf, below: float = inf) -> Rule:
    """A finite number within bounds."""
    bounds = {"above": above, "of at least": at_least, "below": below}
    what = " and ".join(f"{words} {bound:g}" for words, bound in bounds.items() if isfinite(bound))

    def accepts(value: Any) -> bool:
        return type(value) in (int, float) and above < value < below and value >= at_least

    return Rule(f"a finite number {what}".rstrip(), accepts)


def choice(*options: str) -> Rule:
    """One of some words."""
    return Rule(f"one of {', '.join(options)}", lambda value: value in options)


def optional(rule: Rule) -> Rule:
    """What a rule takes, or null."""
    return Rule(f"null or {rule.what}", lambda value: value is None or rule.accepts(value))


def listed(rule: Rule) -> Rule:
    """A list, not empty, of what a rule takes."""
    return Rule(
        f"a list, each {rule.what}", lambda value: isinstance(value, list) and value != [] and all(map(rule.accepts, value))
    )


def filled(what: str) -> Rule:
    """Text that is not empty."""
    return Rule(what, lambda value: isinstance(value, str) and value != "")


def _class(value: Any) -> bool:
    return integer(0).accepts(value) or filled("").accepts(value)


def _increasing(value: Any) -> bool:
    return value == [] or (listed(integer(1)).accepts(value) and value == sorted(set(value)))


def most(name: str) -> int:
    """The largest integer that a setting takes: a seed what a generator does, others what may be multiplied within 64 bits."""
    return 2**63 - 1 if name.endswith("seed") else 2**31 - 1


# The last part of a name, or more of it, with wildcards as in fnmatch; the first that fits counts.
TABLE: dict[str, Rule] = {
    "seed dynamics crop_padding copies pretraining_steps rewind_epochs": integer(0),
    "train_limit test_limit samples pretraining_refresh": optional(integer(1)),
    "adversarial_steps": optional(integer(0)),
    "resolution": optional(number(above=0)),
    "epochs *batch_size *steps width images_per_pass": integer(1),
    "trainer.devices": integer(1),
    "image_size": optional(integer(8, 1024)),  # digits have 8; decoded images are kept in memory, at 1024 each takes 3 MB
    "lr attacker_lr noise_scale temperature scale alpha inverse_clamp": number(above=0),
    "checkpoint.seconds": number(above=0),
    "launcher.n_jobs": Rule(
        "-1 (as many as there are cores) or an integer of at least 1", lambda value: value != 0 and integer(-1).accepts(value)
    ),
    "launcher.minutes": optional(number(above=0, below=30000)),  # the system counts milliseconds in 31 bits
    "damping weight_decay *weight noise invariance variance covariance": number(at_least=0),
    "momentum sparsity.amount": number(at_least=0, below=1),
    # Null is the whole of a class; the random scheme refuses it.
    "scheme.fraction": Rule(number(above=0, below=1).what, optional(number(above=0, below=1)).accepts),
    "val_from_test": optional(number(above=0, below=1)),
    "transform.mean": optional(listed(number())),  # where it follows the network; elsewhere the run refuses null
    "transform.std": optional(listed(number(above=0))),
    "milestones": Rule("an increasing list of integers of at least 1", _increasing),
    "schedule": choice("constant", "linear", "one_cycle", "step"),
    "batch_norm": choice("batch", "update", "running"),
    "attacker_input": choice("probabilities", "logits"),
    "attacker_mode": choice("eval", "train"),
    "pairing": choice("random", "class"),
    "reference": choice("train", "cached", "off"),
    "wandb.mode": choice("auto", "online", "offline", "disabled"),
    "trainer.accelerator": choice("auto", "cpu", "gpu", "cuda"),
    "compile": optional(choice("inductor", "cudagraphs", "aot_eager", "eager")),
    "trainer.precision": choice("32-true", "bf16-mixed"),
    "_target_": filled("the dotted name of a class or function"),
    "root": filled("a folder (within quotes if it is a number)"),
    "target": Rule(
        "null, a class index of at least 0 or a class name, or a list of them",
        lambda value: value is None or _class(value) or listed(Rule("", _class)).accepts(value),
    ),
    "dataset.level": choice("fine", "coarse"),
    "level column": optional(filled("a name")),
    "network.name": filled("the name of a network"),
    "network.features": optional(filled("the name of a layer")),
    "where": optional(filled("a condition")),
    "scheme.file": filled("a file"),
    "checkpoint": optional(filled("a file")),
    "continue_from": optional(filled("the folder of a run")),
}
RULES = {name: rule for names, rule in TABLE.items() for name in names.split()}
TYPES = {
    bool: Rule("true or false", lambda value: isinstance(value, bool)),
    int: integer(),
    float: number(),
    str: Rule("text (within quotes if it is a number)", lambda value: isinstance(value, str)),
    list: Rule("a list", lambda value: isinstance(value, list)),
}
