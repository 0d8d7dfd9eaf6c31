"""Any network of timm, by name, with random weights. Needs the extra `timm`."""

from typing import Any

from torch import nn

from dau_lightning.base.error import InputError
from dau_lightning.network.library import InputFormat, constructor_call, require_known


def timm_network(num_classes: int, in_channels: int, name: str) -> nn.Module:
    """A network of timm, with random weights.

    Raises:
        InputError: timm is not installed, or has no network of this name.
    """
    timm = _timm()
    require_known(name, _names(timm))
    return timm.create_model(name, pretrained=False, num_classes=num_classes, in_chans=in_channels)


def input_format(name: str) -> InputFormat:
    """The image size and normalisation of the weights that timm published for a network."""
    timm = _timm()
    require_known(name, _names(timm))
    published = timm.get_pretrained_cfg(name)
    return InputFormat(published.input_size[-1], list(published.mean), list(published.std))


def lines_of_python(name: str, num_classes: int, in_channels: int) -> list[str]:
    """Lines of Python that make the same network without this package."""
    channels = {"in_chans": in_channels} if in_channels != 3 else {}
    return constructor_call("timm.create_model", name, {"num_classes": num_classes, **channels})


def _names(timm: Any) -> list[str]:
    """Names of architectures, and of published weights (`ARCHITECTURE.TAG`), which have their own image size."""
    return [*timm.list_models(), *timm.list_pretrained()]


def _timm() -> Any:
    try:
        import timm
    except ImportError as error:
        raise InputError("network=timm needs the extra timm: pip install 'dau-lightning[timm]'") from error
    return timm
