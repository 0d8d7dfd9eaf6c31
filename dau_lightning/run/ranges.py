"""The range of every setting: a table from names to rules, which are written in the words of the error messages.

A name means the same in every group, so one line is enough for all groups. A setting that is not in the table must have the
type of its default in the yaml file: a new method needs no line here, and its constructor checks the rest. If a pattern of the
table fits the name of a new setting that has another range, choose another name.
"""

import operator
import re
from fnmatch import fnmatchcase
from math import isfinite
from typing import Any

from dau_lightning.base.error import InputError

TEXT = "text (within quotes if it is a number)"
CLASS = "an integer of at least 0 or a class name"
SIDE = "an integer of at least 8 and of at most 1024"
PIXELS = "and of at most 1 (for pixels in [0, 1]: divide those for pixels in 0..255 by 255)"
TYPES = {bool: "true or false", int: "an integer", float: "a finite number", str: TEXT, list: "a list"}

KINDS = {"an integer": (int,), "a finite number": (int, float), TEXT: (str,), "a class name": (str,), "a list": (list,)}
BOUNDS = {"above": operator.gt, "of at least": operator.ge, "below": operator.lt, "of at most": operator.le}
LITERALS = {"null": None, "true": True, "false": False, "[]": [], "-1 (as many as there are cores)": -1, "1": 1, "2": 2, "3": 3}

# Keys hold patterns for the last part of a name, or more parts, with wildcards as in fnmatch; the first match counts.
TABLE = {
    "seed references dynamics crop_padding copies pretraining_steps min_steps rewind_epochs": "an integer of at least 0",
    "train_limit test_limit samples pretraining_refresh l1_epochs visits_per_step": "null or an integer of at least 1",
    "view_padding": "null or an integer of at least 1",  # with 0 both views could be the same
    "view_flip": "null or true or false",
    "adversarial_steps": "null or an integer of at least 0",
    "resolution": "null or a finite number above 0",
    "largest_loss": "null or a finite number of at least 0",
    "*epochs last_layers *batch_size *steps width images_per_pass patch_size trainer.devices": "an integer of at least 1",
    "attempts.number bins draws most orders stored_batches": "an integer of at least 1",
    "image_size": f"null or {SIDE} or a list, each {SIDE}",  # digits have 8; an image of 1024 takes 3 MB
    "dataset.channels": "1 or 3",
    "attacker.power": "1 or 2",
    "lr attacker_lr noise_scale temperature scale ridge attacker.largest checkpoint.seconds": "a finite number above 0",
    "alpha dampening radius fgsm_step clip_norm relative_floor": "a finite number above 0",
    "launcher.n_jobs": "-1 (as many as there are cores) or an integer of at least 1",
    "resident_limit": "null or a finite number of at least 0",
    "launcher.minutes": "null or a finite number above 0 and below 30000",  # the system counts milliseconds in 31 bits
    "*share": "a finite number above 0 and of at most 1",
    "retain_weight": "a finite number of at least 0 and of at most 1",
    "damping weight_decay *weight noise invariance variance covariance": "a finite number of at least 0",
    "momentum sparsity.amount": "a finite number of at least 0 and below 1",
    "scheme.fraction val_from_test": "null or a finite number above 0 and below 1",
    "transform.mean": f"null or a list, each a finite number of at least 0 {PIXELS}",  # null: the network's published values
    "transform.std": f"null or a list, each a finite number above 0 {PIXELS}",
    "dataset.classes": f"null or a list, each {CLASS}",
    "milestones": "[] or a list, each an integer of at least 1",
    "schedule": "one of constant, linear, cosine, one_cycle, step",
    "batch_norm": "one of batch, update, running",
    "joint_batch": "one of forget_val, retain_forget",
    "attacker_input": "one of probabilities, logits",
    "attacker_mode": "one of eval, train",
    "pairing": "one of random, class",
    "reference": "one of train, cached, off",
    "wandb.mode": "one of auto, online, offline, disabled",
    "trainer.accelerator": "one of auto, cpu, gpu, cuda",
    "trainer.precision": "one of 32-true, bf16-mixed",
    "compile": "null or one of inductor, cudagraphs, aot_eager, eager",
    "dataset.level": "one of fine, coarse",
    "scheme.by": "null or one of position, path, id",
    "corruption.target": CLASS,
    "target": f"null or {CLASS} or a list, each {CLASS}",
    "_target_ root file network.name": TEXT,
    "level column where checkpoint continue_from network.features original.key": f"null or {TEXT}",
}


def accepts(rule: str, value: Any) -> bool:
    """Whether a value fulfils a rule.

    >>> accepts("null or an integer of at least 1", 0), accepts("a list, each an integer", [3])
    (False, True)
    """
    if rule.startswith("one of "):
        return value in rule.removeprefix("one of ").split(", ")
    if rule.startswith("a list, each "):
        each = rule.removeprefix("a list, each ")
        return isinstance(value, list) and value != [] and all(accepts(each, part) for part in value)
    first, _, rest = rule.partition(" or ")
    if rest:
        return accepts(first, value) or accepts(rest, value)
    if rule in LITERALS:
        return type(value) is type(LITERALS[rule]) and value == LITERALS[rule]
    kind = next(kind for kind in KINDS if rule.startswith(kind))
    if type(value) not in KINDS[kind] or value == "" or (isinstance(value, float) and not isfinite(value)):
        return False
    limits = re.findall(rf"({'|'.join(BOUNDS)}) (-?\d+)", rule)
    return all(BOUNDS[bound](value, int(limit)) for bound, limit in limits)


def rule_of(name: str, default: Any) -> str | None:
    """The rule for a setting, from the table or from its default (`???` if the yaml file has none); None for any value."""
    for names, rule in TABLE.items():
        if any(fnmatchcase(f".{name}", f"*.{pattern}") for pattern in names.split()):
            return rule
    if default == "???":
        return None
    return "a list, each a finite number" if accepts("a list, each a finite number", default) else TYPES.get(type(default))


def require_in_range(name: str, default: Any, value: Any) -> None:
    """Raise an `InputError` unless a value is in the range of its setting."""
    rule = rule_of(name, default)
    if rule and not accepts(rule, value):
        raise InputError(f"{name} must be {rule}, got {shown(value)}")
    most = 2**63 - 1 if name.endswith("seed") else 2**31 - 1  # generators take 63 bits; products of others must fit 64
    if any(type(part) is int and abs(part) > most for part in (value if isinstance(value, list) else [value])):
        raise InputError(f"{name} must be at most {most}, got {shown(value)}")


def shown(value: Any) -> str:
    """A value as a user would type it: `null`, `true`, `'text'`."""
    return {"None": "null", "True": "true", "False": "false"}.get(repr(value), repr(value))
