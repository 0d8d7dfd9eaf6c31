"""The weights that a run starts from: from a user's file, from an earlier run or from a model in memory."""

import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from dau_lightning.base.error import InputError, require

NESTED = "state_dict", "model_state_dict", "model"  # keys under which training scripts save a state dict
PREFIXES = "module.", "_orig_mod."  # DataParallel and torch.compile put them before the names of weights


@dataclass(frozen=True)
class StartingWeights:
    """The weights from which a run starts, instead of training an original.

    Attributes:
        label: the name of their row in tables.
        source: where they come from, for errors and `result.json`.
        weights: a state dict of the network.
        trained_on_all: whether they were trained on all of the training set, so that no part of it can be held out.
    """

    label: str
    source: str
    weights: Mapping[str, Tensor]
    trained_on_all: bool

    def load_into(self, network: nn.Module) -> None:
        """Load the weights into a network.

        Raises:
            InputError: names or shapes differ from the network's, or a weight is not finite.
        """
        broken = [name for name, tensor in self.weights.items() if not bool(torch.isfinite(tensor).all())]
        require(not broken, f"{self.source} must hold finite weights, some are not: {', '.join(broken[:3])}")
        try:
            network.load_state_dict(self.weights)
        except RuntimeError as error:
            difference = textwrap.shorten(str(error).partition("\n")[2], 300)
            raise InputError(f"{self.source} must hold the weights of this {type(network).__name__}: {difference}") from error


def read_weights(path: str) -> StartingWeights:
    """The weights in a file: safetensors, or a state dict saved by torch, by itself or under a key of a dict (`NESTED`).

    Raises:
        InputError: the file cannot be read without running code, or holds no state dict.
    """
    source = f"original.checkpoint={path}"
    content = _content(Path(path).expanduser(), source)
    for name in NESTED:
        if isinstance(content, Mapping) and isinstance(content.get(name), Mapping):
            content = content[name]
    tensors = isinstance(content, Mapping) and content and all(isinstance(value, Tensor) for value in content.values())
    require(bool(tensors), f"{source} must hold a state dict, names and tensors alone; got {_kind(content)}")
    for prefix in PREFIXES:
        if all(name.startswith(prefix) for name in content):
            content = {name.removeprefix(prefix): tensor for name, tensor in content.items()}
    return StartingWeights("Original", source, content, trained_on_all=True)


def _content(file: Path, source: str) -> Any:
    require(file.is_file(), f"{source} must be a file, there is none")
    try:
        if file.suffix == ".safetensors":
            return load_file(file)
        return torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # an unknown file can fail in any way
        reason = (str(error).strip() or type(error).__name__).splitlines()[0][:200]  # an empty file: an EOFError without text
        raise InputError(
            f"{source} must be safetensors or a state dict (torch.save(model.state_dict(), FILE)), it cannot be read: {reason}"
        ) from error


def _kind(content: Any) -> str:
    return f"a dict of {', '.join(map(str, list(content)[:5]))}" if isinstance(content, Mapping) else type(content).__name__
