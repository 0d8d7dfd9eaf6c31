"""The last layers of a network, which a method trains, and the layers before them, which it freezes."""

from contextlib import AbstractContextManager

from torch import nn

from dau_lightning.base.error import require
from dau_lightning.training.mode import BATCH_NORM, batch_norm


class LastLayers:
    """Freezes all layers of a network but the last `count` ones.

    A layer is a module that has a parameter of two or more dimensions of its own, such as a convolution or a linear layer;
    the normalisation layers up to the next such layer belong to it. Layers count in the order in which the network
    registers them.

    Attributes:
        trained: the modules of the last layers by name.
        frozen: the other modules, whose parameters take no gradient.

    Raises:
        InputError: the network has fewer layers.
    """

    def __init__(self, network: nn.Module, count: int) -> None:
        named = {name: each for name, each in network.named_modules() if _owns(each) or isinstance(each, BATCH_NORM)}
        modules = list(named.values())
        first = [place for place, module in enumerate(modules) if _owns(module, dimensions=2)]
        most = len(first)
        require(count <= most, f"baseline.last_layers must be at most {most}, the layers of the network; got {count}")
        self.trained, self.frozen = dict(list(named.items())[first[-count] :]), modules[: first[-count]]
        for module in self.frozen:
            for parameter in module.parameters(recurse=False):
                parameter.requires_grad_(False)

    def frozen_statistics(self) -> AbstractContextManager[None]:
        """Let the batch-norm layers among the frozen ones use their running statistics and leave them."""
        return batch_norm(nn.ModuleList(module for module in self.frozen if isinstance(module, BATCH_NORM)), "running")


def _owns(module: nn.Module, dimensions: int = 0) -> bool:
    """Whether a module has a parameter of its own with at least so many dimensions."""
    return any(parameter.dim() >= dimensions for parameter in module.parameters(recurse=False))
