"""Finds the weights of a network in whatever a training script wrote: which state dict, which prefix, what lies beside it."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from dau_lightning.base.error import InputError, require
from dau_lightning.storage.tensor_names import comes_last, no_weight

StateDict = Mapping[str, Tensor]

WRAPPERS = {"module", "_orig_mod", "_fsdp_wrapped_module"}  # DataParallel, torch.compile and FSDP put them into names
COUNTER = "num_batches_tracked"  # it decides nothing unless batch norm has no momentum, so a file may lack it


def state_dicts(content: Any, key: str = "") -> dict[str, StateDict]:
    """The state dicts in a file, by the keys that lead to them, joined by dots; the key is empty for the file itself."""
    if not isinstance(content, Mapping):
        content = {str(place): value for place, value in enumerate(content)} if isinstance(content, list | tuple) else {}
    tensors = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    found: dict[str, StateDict] = {key: tensors} if tensors else {}
    for name, value in content.items():
        if isinstance(name, str) and not re.search("optimizer|sched|^optim$", name):
            found |= state_dicts(value, f"{key}.{name}".removeprefix("."))
    return found


@dataclass(frozen=True)
class Match:
    """A state dict of a file, read with one prefix before the names of a network.

    Attributes:
        label: the key of the state dict and the prefix, joined by a dot.
        state: the tensors by their names in the file; a pruned weight by the name of its `weight_orig`.
        names: names in the file by the network's names.
        prefix: what stands before the network's names in the file.
        wanted: the network's own state dict.
        holds_copy: whether a whole copy of the network lies under a longer prefix (`old_model.`): the names are of more
            than a network, and others beside the network's are to be expected.
    """

    label: str
    state: StateDict
    names: Mapping[str, str]
    prefix: str
    wanted: StateDict
    holds_copy: bool = False

    @property
    def missing(self) -> list[str]:
        """Names of the network for which the file has no tensor."""
        return [name for name in self.wanted if name not in self.names and not name.endswith(COUNTER)]

    @property
    def misshapen(self) -> list[str]:
        """Names of the network whose tensor in the file has another shape."""
        return [name for name, own in self.names.items() if self.state[own].shape != self.wanted[name].shape]

    @property
    def left(self) -> list[str]:
        """Names in the file of tensors that the network does not take."""
        taken = {*self.names.values()}
        return [name for name in self.state if name not in taken]

    @property
    def whole(self) -> bool:
        """Whether the file has every tensor of the network in its shape."""
        return not (self.missing or self.misshapen)

    @property
    def unknown(self) -> list[str]:
        """Those of `left` that may be weights of another network: below the prefix, and not `no_weight`."""
        below = [name for name in self.left if name.startswith(self.prefix) and not self.holds_copy]
        return [name for name in below if not no_weight(name.removeprefix(self.prefix)) and not self._weighs_classes(name)]

    def _weighs_classes(self, name: str) -> bool:
        """Whether a tensor looks like the weights of a loss: a number for each class, and alone in its module."""
        module, _, last = name.rpartition(".")
        alone = sum(other.startswith(f"{module}.") for other in self.state) == 1
        classes = list(self.wanted.values())[-1].shape[:1]
        return last in ("weight", "pos_weight") and alone and self.state[name].shape == classes

    @property
    def quality(self) -> tuple[bool, int]:
        """Whether it fits, and for how many names; to be compared."""
        return self.whole and not self.unknown, len(self.names) - len(self.misshapen)

    def tensors(self) -> dict[str, Tensor]:
        """A complete state dict of the network."""
        return {name: self.state[self.names[name]] if name in self.names else own for name, own in self.wanted.items()}

    def __str__(self) -> str:
        """What was taken and what was left, in words."""
        left, pruned = self.left, sum(name.endswith("_orig") for name in self.names.values())
        said = f"{len(self.names)} tensors{f' of {self.label}' if self.label else ''}"
        said += f" ({pruned} pruned: weight_orig * weight_mask)" if pruned else ""
        said += f"; not taken: {_some(left)}" if left else ""
        last = {name.rpartition(".")[2]: self.state[name].flatten() for name in left}
        own = {name: last[name].tolist() for name in ("mean", "std") if name in last and last[name].numel() <= 3}
        scale = 255 if max([0, *own.get("mean", []), *own.get("std", [])]) > 1 else 1  # settings are for pixels in [0, 1]
        setting = " ".join(f"transform.{name}=[{','.join(f'{x / scale:.4g}' for x in own[name])}]" for name in own)
        divided = " (its numbers, for pixels in 0..255, divided by 255)" if scale > 1 else ""
        return said + (f"; it normalised its images by {setting}{divided}: give these" if len(own) == 2 else "")


def find(found: Mapping[str, StateDict], wanted: StateDict, key: str | None, source: str, network: str) -> tuple[Match, str]:
    """The weights of a network among the state dicts of a file, and a line that says what was taken.

    Args:
        found: see `state_dicts`.
        wanted: the network's own state dict.
        key: the part of a label that the user chose by `original.key`; None for none.
        source: the file, for errors.
        network: the network's class, for errors.

    Raises:
        InputError: the file has no weights of this network.
    """
    matches = [match for name, state in found.items() for match in _matches(name, state, wanted)]
    require(bool(matches), f"{source} must hold tensors by name: save them with torch.save(model.state_dict(), FILE)")
    chosen = [match for match in matches if key is None or f".{key}." in f".{match.label}."]
    if not chosen:
        keys = _some([*filter(None, found)])
        raise InputError(f"original.key must be a key of {source} that holds weights: {keys}; got {key!r}")
    # Whole weights with other names come before an average that fits, so that it is not taken in their place.
    whole = sorted((match for match in chosen if match.whole), key=lambda match: comes_last(match.label))
    fitting = [match for match in whole if match.quality[0]]
    fitting = [match for match in fitting if match.label == key] or fitting
    if not fitting or (key is None and comes_last(fitting[0].label) and not comes_last(whole[0].label)):
        nearest = whole[0] if whole else max(chosen, key=lambda match: match.quality)
        raise InputError(f"{source} must hold the weights of this {network}: {_difference(nearest)}")
    if key is not None and len(fitting) > 1:
        several = ", ".join(repr(match.label) for match in fitting)
        raise InputError(f"original.key must be the full name of one of the weights in {source}: {several}; got {key!r}")
    others = [match.label for match in fitting[1:]]
    also = f"; the file also holds {_some(others)}, which original.key={others[0]} takes" if others else ""
    return fitting[0], f"{fitting[0]}{also}"


def _matches(key: str, state: StateDict, wanted: StateDict) -> Iterator[Match]:
    """A state dict read with every prefix that it may have; wrappers are taken out only if the names do not fit with them."""
    masked = {name.removesuffix("_mask") for name in state if name.endswith("_mask") and f"{name[:-5]}_orig" in state}
    state = {name: tensor for name, tensor in state.items() if name.removesuffix("_mask") not in masked} | {
        f"{name}_orig": state[f"{name}_orig"] * state[f"{name}_mask"] for name in masked
    }
    plain = {name.removesuffix("_orig") if name.removesuffix("_orig") in masked else name: name for name in state}
    bare = {".".join(part for part in name.split(".") if part not in WRAPPERS): own for name, own in plain.items()}
    probes = sorted((name for name in wanted if not name.endswith(COUNTER)), key=len)[-3:]
    for names in (plain, bare):
        ends = {name.removesuffix(probe) for probe in probes for name in names if f".{name}".endswith(f".{probe}")}
        found = []
        for prefix in sorted({"", *ends}, key=len):
            own = {name: names[prefix + name] for name in wanted if prefix + name in names}
            whole = prefix if names is plain else _whole(prefix, own)
            found.append(Match(f"{key}.{whole}".strip("."), state, own, whole, wanted))
        copies = [match.prefix for match in found if match.whole]
        found = [replace(m, holds_copy=any(m.prefix != p and p.startswith(m.prefix) for p in copies)) for m in found]
        best = max(match.quality for match in found)
        yield from (match for match in found if match.whole or match.quality == best)
        if best[0]:
            return


def _whole(prefix: str, own: Mapping[str, str]) -> str:
    """The prefix as it stands in the file, with wrappers; the shorter one where they stand in the middle of names."""
    ahead = {full.removesuffix(name) for name, full in own.items() if full.endswith(name)}
    return ahead.pop() if len(ahead) == 1 else prefix


def _difference(match: Match) -> str:
    """What does not fit, with the keys of the file, and what to do about it."""
    missing, unknown, misshapen = match.missing, match.unknown, match.misshapen
    said = [f"under {match.label!r}"] if match.label else []
    said += [f"{_some(missing)} missing"] if missing else []
    said += [f"{_some(unknown)} not of the network"] if unknown else []
    shapes = [(match.names[name], [*match.state[match.names[name]].shape], [*match.wanted[name].shape]) for name in misshapen]
    said += [f"{own!r} is {tuple(have)}, not {tuple(want)}" for own, have, want in shapes[:2]]
    _, have, want = shapes[0] if shapes else ("", [], [])
    advice = "choose the network that the file was saved from (network, network.name, network.ARGUMENT)"
    if not (missing or unknown) and misshapen[0].split(".")[:-1] == list(match.wanted)[-1].split(".")[:-1]:
        advice = f"dataset.root must have the {have[0]} classes of its training, it has {want[0]}"
    elif len(have) == 4 and have[1] in (1, 3) and have[0] == want[0] and have[1] != want[1]:
        advice = f"dataset.channels={have[1]} reads images as it needs them"
    return f"{', '.join(said)}; {advice}"


def _some(names: list[str]) -> str:
    """The first names, as they stand in the file, and how many there are."""
    return ", ".join(map(repr, names[:3])) + (f" ... ({len(names):,} in all)" if len(names) > 3 else "")


def broken(match: Match) -> list[str]:
    """Names in the file of the taken tensors that are not finite."""
    return [own for own in match.names.values() if not bool(torch.isfinite(match.state[own]).all())]
