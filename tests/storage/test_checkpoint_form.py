from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils import prune

from dau_lightning.base.error import InputError
from dau_lightning.storage.weights import read_weights


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 3))


STATE = network().state_dict()
OTHER = {name: tensor + 1 for name, tensor in STATE.items()}


def put(prefix: str, state: dict[str, Tensor] = STATE) -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


def load(folder: Path, content: Any, key: str | None = None, into: nn.Module | None = None) -> tuple[nn.Module, str]:
    """A network with the weights of a file, and the line that says what was taken, without the file's name."""
    torch.save(content, folder / "own.pt")
    made = into or network()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.zero_()
    line = read_weights(str(folder / "own.pt"), key).load_into(made)
    return made, line.partition(": ")[2]


def holds(made: nn.Module, state: dict[str, Tensor]) -> bool:
    return all(torch.equal(made.state_dict()[name], tensor) for name, tensor in state.items())


METRICS = {"criterion.weight": torch.ones(3), "train_acc.tp": torch.ones(3), "val_metrics.f1.total": torch.ones(1)}


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (STATE, "9 tensors"),
        *(({key: STATE, "epoch": 3, "acc": 91.2}, f"9 tensors of {key}") for key in ("net", "weights", "model_ema", "params")),
        ((STATE, 91.2, {"optimizer": OTHER}), "9 tensors of 0"),
        ({"checkpoint": {"model": {"state_dict": STATE}}}, "9 tensors of checkpoint.model.state_dict"),
        ({"state_dict": put("model."), "optimizer_states": [{"state": {0: {"step": torch.ones(1)}}}]}, "of state_dict.model"),
        *((put(f"{prefix}."), f"of {prefix}") for prefix in ("module", "network", "model._orig_mod", "_orig_mod.module.net")),
        ({"net": put("backbone.encoder.")}, "of net.backbone.encoder"),
        (put("model.") | METRICS, "not taken: 'criterion.weight', 'train_acc.tp', 'val_metrics.f1.total'"),
        (STATE | METRICS, "not taken: 'criterion.weight', 'train_acc.tp', 'val_metrics.f1.total'"),
        (put("module.") | {"n_averaged": torch.tensor(7)}, "of module; not taken: 'n_averaged'"),
        (STATE | {"0.total_ops": torch.ones(1), "total_params": torch.ones(1)}, "not taken: '0.total_ops', 'total_params'"),
        (STATE | {"aux_head.0.weight": torch.ones(1)}, "not taken: 'aux_head.0.weight'"),
        ({name: STATE[name] for name in STATE if "num_batches" not in name}, "8 tensors"),
        (
            STATE | {"normalize.mean": torch.full((1, 1, 1, 1), 0.5), "normalize.std": torch.full((1,), 0.25)},
            "it normalised its images by transform.mean=[0.5] transform.std=[0.25]: give these",
        ),
        (
            STATE | {"normalizer.mean": torch.tensor([123.675, 116.28]), "normalizer.std": torch.tensor([58.395, 57.12])},
            "by transform.mean=[0.485,0.456] transform.std=[0.229,0.224] (its numbers, for pixels in 0..255, divided by 255)",
        ),
        (put("1.") | {"0.mean": torch.zeros(1, 1, 1), "0.std": torch.ones(1)}, "by transform.mean=[0] transform.std=[1]: give"),
        ({name: half if half.dtype == torch.int64 else half.half().float() for name, half in STATE.items()}, "9 tensors"),
    ],
)
def test_what_a_training_script_writes_is_read_and_told(tmp_path: Path, content: Any, line: str) -> None:
    made, told = load(tmp_path, content)
    assert line in told
    torch.testing.assert_close(dict(made.state_dict()), dict(STATE), atol=1e-3, rtol=0)


def test_wrappers_in_the_middle_of_names_are_taken_out(tmp_path: Path) -> None:
    """As torch's ImageNet example wrapped the features of AlexNet and VGG, and compiled submodules are."""
    state = {name.replace("3.", "3._orig_mod.").replace("0.", "0.module."): tensor for name, tensor in STATE.items()}
    assert holds(load(tmp_path, {"state_dict": state})[0], STATE)


class Wrapped(nn.Module):
    """A network whose own names begin like those of DataParallel."""

    def __init__(self) -> None:
        super().__init__()
        self.module = network()


@pytest.mark.parametrize("prefix", ["module.", "module.module.", "model.module."])
def test_names_that_fit_keep_their_prefix(tmp_path: Path, prefix: str) -> None:
    made, _ = load(tmp_path, put(prefix), into=Wrapped())
    assert holds(made, put("module."))


def test_of_several_state_dicts_one_is_taken_and_the_others_are_named(tmp_path: Path) -> None:
    both = {"state_dict_ema": OTHER, "state_dict": STATE, "epoch": 3}
    made, told = load(tmp_path, both)
    assert holds(made, STATE)
    assert told == "9 tensors of state_dict; the file also holds 'state_dict_ema', which original.key=state_dict_ema takes"
    assert holds(load(tmp_path, both, "state_dict_ema")[0], OTHER)
    assert holds(load(tmp_path, {"model_ema": OTHER, "optimizer": {"m": STATE}})[0], OTHER)
    inside = {"state_dict": put("ema_model.module.", OTHER) | put("model.")}
    assert holds(load(tmp_path, inside)[0], STATE)
    assert holds(load(tmp_path, inside, "ema_model")[0], OTHER)
    assert holds(load(tmp_path, {"attacker": {"fc.weight": torch.ones(2)}, "victim": STATE})[0], STATE)
    with pytest.raises(InputError, match=r"original\.key must be a key of .* 'state_dict_ema', 'state_dict'; got 'ema'"):
        load(tmp_path, both, "ema")


@pytest.mark.parametrize("key", ["mask", "saliency_masks", "grads", "gradient", "fisher_diagonal", "momentum_buffers"])
def test_what_has_the_shapes_of_weights_comes_last(tmp_path: Path, key: str) -> None:
    made, told = load(tmp_path, {key: OTHER, "model": STATE})
    assert holds(made, STATE)
    assert told.endswith(f"the file also holds '{key}', which original.key={key} takes")


def test_a_copy_inside_a_network_is_named_and_not_taken(tmp_path: Path) -> None:
    for copy in ("old_model.", "frozen_net.module.", "net."):
        inside = {"state_dict": put(copy, OTHER) | STATE | {"proj.weight": torch.ones(2)}}
        made, told = load(tmp_path, inside)
        assert holds(made, STATE)
        label = f"state_dict.{copy[:-1]}"
        assert told.endswith(f"; the file also holds {label!r}, which original.key={label} takes")
        assert "not taken: '" in told
        assert holds(load(tmp_path, inside, label)[0], OTHER)
        assert holds(load(tmp_path, inside, "state_dict")[0], STATE)
    with pytest.raises(InputError, match=r"under 'student', 'student\.proj\.weight' not of the network; choose the network"):
        load(tmp_path, put("teacher.") | put("student.") | {"student.proj.weight": torch.ones(2)})


@pytest.mark.parametrize("name", ["init", "initial", "old_model", "netPrev", "start", "teacher", "swa", "model_ema", "avg2"])
def test_weights_of_an_earlier_time_and_averages_come_last(tmp_path: Path, name: str) -> None:
    assert holds(load(tmp_path, {name: OTHER, "model": STATE})[0], STATE)
    assert holds(load(tmp_path, {name: OTHER})[0], OTHER)
    assert holds(load(tmp_path, {"schema_swap_starter": OTHER, "model": STATE})[0], OTHER)


def test_a_key_that_matches_several_is_refused_with_their_full_names(tmp_path: Path) -> None:
    several = {"state_dict": put("net.") | put("best.", OTHER), "hyper": {"a": 1}}
    with pytest.raises(InputError, match=r"original\.key must be the full name .*: 'state_dict\.net', .*\.best'; got"):
        load(tmp_path, several, "state_dict")
    assert holds(load(tmp_path, several, "state_dict.best")[0], OTHER)


@pytest.mark.parametrize("layer", ["schema_proj", "semantic_head", "swap", "auxin", "lossy_conv", "metrical", "normalized_fc"])
def test_layers_of_another_network_are_no_metrics(tmp_path: Path, layer: str) -> None:
    with pytest.raises(InputError, match=f"'{layer}.weight' not of the network"):
        load(tmp_path, STATE | {f"{layer}.weight": torch.ones(2)})


@pytest.mark.parametrize("name", ["val_auc.confmat", "iou.confmat", "kappa.confmat", "mIoU.x", "class_weights", "trainF1.tp"])
def test_metrics_and_class_weights_are_left(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, STATE | {name: torch.ones(2)})[1].endswith(f"; not taken: {name!r}")


@pytest.mark.parametrize("name", ["ce.weight", "bce.pos_weight", "cross_entropy.weight", "objective.alpha", "hybrid.weight"])
def test_a_loss_with_class_weights_is_left(tmp_path: Path, name: str) -> None:
    assert load(tmp_path, STATE | {name: torch.ones(3)})[1].endswith(f"; not taken: {name!r}")
    assert load(tmp_path, {"state_dict": put("net.") | {f"net.{name}": torch.ones(3)}})[1].endswith(
        f"; not taken: 'net.{name}'"
    )


def test_a_layer_is_no_loss_with_class_weights(tmp_path: Path) -> None:
    for more in ({"norm.weight": torch.ones(3), "norm.bias": torch.ones(3)}, {"prelu.weight": torch.ones(1)}):
        with pytest.raises(InputError, match="not of the network"):
            load(tmp_path, STATE | more)


def test_pruned_weights_are_their_product_with_the_mask(tmp_path: Path) -> None:
    pruned = network()
    prune.l1_unstructured(pruned[0], "weight", 0.5)
    prune.random_unstructured(pruned[3], "bias", 0.5)
    state = {"state_dict": put("module.", dict(pruned.state_dict()))}
    made, told = load(tmp_path, state)
    assert "(2 pruned: weight_orig * weight_mask)" in told
    for layer, name in ((0, "weight"), (3, "bias")):
        assert torch.equal(getattr(made[layer], name), getattr(pruned[layer], name))
        assert int((getattr(made[layer], name) == 0).sum()) >= 1


@pytest.mark.parametrize("name", ["inception_v3", "googlenet"])
def test_auxiliary_heads_that_the_network_here_lacks_are_left(tmp_path: Path, name: str) -> None:
    whole = torchvision.models.get_model(name, weights=None, num_classes=3, init_weights=False)
    bare = torchvision.models.get_model(name, weights=None, num_classes=3, init_weights=False, aux_logits=False)
    assert "not taken: '" in load(tmp_path, whole.state_dict(), into=bare)[1]
    assert all(torch.equal(tensor, whole.state_dict()[name]) for name, tensor in bare.state_dict().items())


def test_an_error_quotes_the_keys_of_the_file(tmp_path: Path) -> None:
    longer = {"model": put("module.") | {"module.5.weight": torch.ones(1)}}
    with pytest.raises(InputError, match=r"under 'model\.module', 'module\.5\.weight' not of the network; choose the network"):
        load(tmp_path, longer)
    classes = STATE | {"3.weight": torch.ones(5, 8), "3.bias": torch.ones(5)}
    with pytest.raises(
        InputError, match=r"'net\.3\.weight' is \(5, 8\), not \(3, 8\).*the 5 classes of its training, it has 3"
    ):
        load(tmp_path, put("net.", classes))
