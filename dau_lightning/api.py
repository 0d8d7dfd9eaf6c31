"""Unlearning from Python: `unlearn` takes a model, its data and the samples to forget; it returns an unlearned copy."""

import copy
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from omegaconf import DictConfig, OmegaConf, open_dict
from safetensors.torch import load_file
from torch import Tensor, nn

from dau_lightning.base.error import require
from dau_lightning.base.randomness import key
from dau_lightning.data.samples import Samples, as_array, as_data
from dau_lightning.evaluation.checks import passed
from dau_lightning.network.torchvision import published_as
from dau_lightning.run.check import check
from dau_lightning.run.composition import configuration
from dau_lightning.run.job import make
from dau_lightning.run.plan import Plan
from dau_lightning.run.quotes import quoted
from dau_lightning.run.ranges import accepts, rule_of
from dau_lightning.scheme.indices import Positions
from dau_lightning.scheme.positions import as_positions
from dau_lightning.storage.run_folder import RunFolder, read_result
from dau_lightning.storage.weights import StartingWeights

# Settings that `unlearn` applies; the other ones work with the command alone.
APPLIED = ("baseline.", "baseline/", "metric", "transform.", "trainer.", "compile", "checkpoint.", "store.")
APPLIED += ("figures", "dynamics", "network.features")
USE_INSTEAD = {  # by the first part of a setting
    "dataset": "give the images as train= and test=",
    "scheme": "give the positions as forget=, and wrong_labels= or with_copies=",
    "network": "give the network itself as model=",
    "original": "give the network with its weights as model=",
    "baseline": "give method=",
    "seed": "give seed=",
    "val_from_test": "give val_from_test=",
    "reference": "reference must be off, a model that is given has no recipe to retrain by; `python train.py` trains one",
}


@dataclass(frozen=True)
class Unlearned:
    """What `unlearn` returns.

    Attributes:
        model: the unlearned copy of the model, on the CPU, in evaluation mode.
        result: the content of `result.json`; `rows` has the numbers before and after.
        folder: the run folder, with the weights, the model card and the ledger.
    """

    model: nn.Module
    result: dict[str, Any]
    folder: Path

    @property
    def passed(self) -> bool:
        """False if the unlearned model should not be used: it lost accuracy on retained images, or nothing was forgotten."""
        return passed(self.result)

    @property
    def row(self) -> dict[str, Any]:
        """UA, MIA, RA, TA, attacks and the selection score of the unlearned model."""
        return self.result["rows"][self.result["baseline"]]


def unlearn(
    model: nn.Module,
    train: Samples,
    test: Samples,
    forget: Iterable[int] | Tensor,
    *,
    val: Samples | None = None,
    val_from_test: float | None = None,
    mean: Sequence[float],
    std: Sequence[float],
    class_names: Sequence[str] | None = None,
    wrong_labels: bool = False,
    with_copies: bool = False,
    method: str = "dau",
    seed: int = 0,
    folder: str | Path = "unlearned",
    settings: Sequence[str] = (),
) -> Unlearned:
    """Make a copy of a trained classifier forget some of its training images.

    Args:
        model: returns logits for images float `(B, C, H, W)`; it was trained on all of `train`.
        train: the training set, a data set of (image, label) or a pair (images, labels) of tensors, arrays or lists. Images
            are integers from 0 to 255, floats in [0, 1] (as from `ToTensor`) or Pillow images, of one size and not
            normalised; floats are rounded to multiples of 1/255.
        test: images that the model never saw, to test on.
        forget: the samples to forget: positions in `train`, or a mask, bool `(N,)`.
        val: other images that the model never saw, the validation set of the method.
        val_from_test: in place of `val`, the share of `test` that becomes the validation set, drawn from the seed.
        mean: mean of each channel, for pixels in [0, 1], with which the model's inputs are normalised.
        std: standard deviation of each channel, likewise.
        class_names: a name for each class; None for numbers.
        wrong_labels: whether the labels of the samples to forget are wrong, so that the copy should not predict them.
        with_copies: whether to forget all images of `train` with exactly the pixels of one to forget, too.
        method: the name of a method in `conf/baseline`.
        seed: the seed for everything random.
        folder: the run folder, which must not hold a finished run.
        settings: settings of `baseline`, `metric`, `transform`, `trainer` and others in `APPLIED`, as the command takes them,
            such as `baseline.epochs=5`, `figures=false` or `transform.flip=true`. By default, images are neither cropped nor
            flipped.

    Raises:
        InputError: an argument cannot be used; raised before anything is trained or written.
    """
    run = Path(folder).expanduser()
    _check_given(model, val, val_from_test, run, settings)
    data = as_data({"train": train, "test": test, "val": val}, class_names)
    positions = as_positions(as_array(forget), len(data.train), "forget")
    network = published_as(model, len(data.train.class_names))
    scheme = f"scheme.wrong_labels={wrong_labels}".lower(), f"scheme.with_copies={with_copies}".lower()
    given = f"seed={seed}", *scheme, *_transform(mean, std, data.train.shape[1]), *settings
    config = _config(model, network, positions, method, run, given)
    choices = {"network": "torchvision" if network else type(model).__name__, "baseline": method}
    result = make(
        cast(dict[str, Any], OmegaConf.to_container(config, resolve=True)),
        choices | {"dataset": "python", "scheme": "indices", "sparsity": "dense"},
        RunFolder.of(run, config),
        plan=Plan("off", False, val_from_test, _weights(model)),
        dataset=lambda: data,
        scheme=Positions(positions, wrong_labels, with_copies),
        network=lambda num_classes, in_channels: copy.deepcopy(model).cpu(),
    )
    unlearned = copy.deepcopy(model).cpu().eval()
    unlearned.load_state_dict(load_file(run / "unlearned.safetensors"))
    return Unlearned(unlearned, result, run)


def _weights(model: nn.Module) -> StartingWeights:
    weights = {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
    return StartingWeights("Original", "model", {"": weights}, trained_on_all=True)


def _check_given(model: Any, val: Samples | None, val_from_test: Any, run: Path, settings: Sequence[str]) -> None:
    """Raise an error for arguments that are wrong whatever the data are."""
    finished = read_result(run) is not None
    require(not finished, f"folder must not hold a finished run, {run} does: remove it, or choose another folder=...")
    _check_settings(settings)
    require(isinstance(model, nn.Module), f"model must be a torch.nn.Module that has its weights; got {type(model).__name__}")
    require(
        (val is None) != (val_from_test is None),
        "val or val_from_test must be given, and only one of them: the model has seen all of train, and the method needs "
        "images that it never saw, val=(images, labels) or val_from_test=0.5 (this share of test; TA leaves it out)",
    )
    rule = str(rule_of("val_from_test", None)).removeprefix("null or ")
    right = val_from_test is None or accepts(rule, val_from_test)
    require(right, f"val_from_test must be {rule}, got {val_from_test!r}")


def _transform(mean: Sequence[float], std: Sequence[float], channels: int) -> list[str]:
    """Settings for the normalisation, and for neither crops nor flips; the user's settings come later and win."""
    for name, values in (("mean", mean), ("std", std)):
        given = np.ndim(values) == 1 and all(isinstance(value, int | float) for value in np.asarray(values).tolist())
        require(given, f"{name} must be a list with one number for each channel, such as [0.5]; got {values!r}")
        hint = "" if channels in (1, 3) else " (convert('RGB') them if the network takes three)"
        wanted = f"{name} must have one number for each of the {channels} channels of the images{hint}"
        require(len(values) == channels, f"{wanted}; got {values!r}")
    plain = (f"transform.{name}={np.asarray(values).tolist()}" for name, values in (("mean", mean), ("std", std)))
    return [*plain, "transform.crop_padding=0", "transform.flip=false"]


def _config(
    model: nn.Module, network: str | None, positions: Sequence[int], method: str, folder: Path, settings: Sequence[str]
) -> DictConfig:
    """The configuration of the run; it also describes the given objects, for readers of the result."""
    kind = type(model)
    target = "dau_lightning.network.torchvision.torchvision_network" if network else f"{kind.__module__}.{kind.__qualname__}"
    overrides = [f"baseline={method}", "dataset=imagefolder", "dataset.root=python", "scheme=indices", "network=own"]
    overrides += [f"network._target_={target.replace('<locals>.', '')}", "wandb.mode=disabled", "reference=off", *settings]
    overrides.append(f"scheme.file=forget-{key(*sorted(positions)) % 16**8:08x}")  # tells runs on different lists apart
    overrides = list(map(quoted, overrides))
    check(overrides)
    config, _ = configuration(overrides)
    require(config.trainer.devices == 1, "trainer.devices must be 1 from Python: more devices need the command")
    with open_dict(config):
        config.network.name = network
        if not any(setting.startswith("store.root=") for setting in settings):
            config.store.root = str(folder / "store")
    return config


def _check_settings(settings: Sequence[str]) -> None:
    """Raise an error for settings that `unlearn` would record but not apply, or that are no list of texts."""
    require(not isinstance(settings, (str, Mapping)), f'settings must be a list such as ["baseline.epochs=5"], got {settings}')
    for setting in settings:
        name = setting.partition("=")[0]
        instead = USE_INSTEAD.get(name.partition(".")[0], "only the command `python train.py` takes it")
        require(name.startswith(APPLIED), f"settings cannot take {setting} from Python: {instead}")
