import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from filelock import FileLock, Timeout
from omegaconf import DictConfig, OmegaConf
from safetensors.numpy import save_file

from dau_lightning.base.error import InputError
from dau_lightning.storage.run_folder import FinishedMeanwhile, RunFolder, config_hash, read_result, user_files
from tests.composed import composed


@pytest.fixture
def config() -> DictConfig:
    config = composed("dataset=imagefolder")
    OmegaConf.set_struct(config, False)  # as a run does
    return config


def run_folder(path: Path) -> RunFolder:
    return RunFolder(path, "", "", {}, ".", overwrite=False)


def finished(path: Path, config: DictConfig) -> dict[str, Any] | None:
    return RunFolder.of(path, config).finished()


def begin(path: Path, config: DictConfig, split_hash: str = "split") -> None:
    with ExitStack() as held:
        RunFolder.of(path, config).start(held, split_hash)


def finish(folder: Path, **result: Any) -> None:
    """Leave what a finished run leaves."""
    save_file({"bias": np.zeros(9)}, folder / "unlearned.safetensors")
    run_folder(folder).write_result({"rows": {}, **result})


def leaves(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    return {
        name: leaf
        for key, child in node.items()
        for name, leaf in leaves(child, f"{prefix}{'.' if prefix else ''}{key}").items()
    }


def outside(name: str) -> bool:
    groups = ("hydra", "store", "checkpoint", "wandb", "overwrite", "figures", "dynamics", "preview")
    return name.split(".")[0] in groups or name in ("dataset.root", "dataset.cache", "dataset.resident_limit")


def test_is_eight_hex_digits_that_stay(config: DictConfig) -> None:
    assert len(config_hash(config)) == 64
    assert int(config_hash(config), 16) >= 0
    assert config_hash(config) == config_hash(config)


def test_paths_loggers_and_display_do_not_count(config: DictConfig) -> None:
    before = config_hash(config)
    ignored = [name for name in leaves(OmegaConf.to_container(config)) if outside(name)]
    assert {"store.root", "wandb.mode", "wandb.project", "overwrite", "dataset.root"} <= set(ignored)
    for name in ignored:
        OmegaConf.update(config, name, "something else")
    assert config_hash(config) == before
    config.hydra = {"run": {"dir": "elsewhere"}}
    assert config_hash(config) == before
    for name in ("hydra", "store", "wandb", "overwrite", "figures", "dynamics", "preview"):
        del config[name]
    del config.dataset["root"]
    assert config_hash(config) == before


def test_every_other_value_counts(config: DictConfig) -> None:
    plain = OmegaConf.to_container(config)
    counted = [name for name in leaves(plain) if not outside(name)]
    assert {"seed", "reference", "selection", "baseline.lr", "trainer.precision", "scheme.fraction"} <= set(counted)
    hashes = {config_hash(config)}
    for name in counted:
        changed = OmegaConf.create(plain)  # type: ignore[arg-type]
        OmegaConf.update(changed, name, "something else")
        hashes.add(config_hash(changed))
    assert len(hashes) == 1 + len(counted)


def test_a_key_more_or_less_counts(config: DictConfig) -> None:
    before = config_hash(config)
    config.baseline.more = 1
    more = config_hash(config)
    del config.baseline["more"], config.baseline["lr"]
    assert len({before, more, config_hash(config)}) == 3


def test_the_order_of_keys_does_not_count(config: DictConfig) -> None:
    plain: Any = OmegaConf.to_container(config)
    backwards = {
        name: dict(reversed(node.items())) if isinstance(node, dict) else node for name, node in reversed(plain.items())
    }
    assert config_hash(OmegaConf.create(backwards)) == config_hash(config)


def test_the_config_is_left_as_it_is(config: DictConfig) -> None:
    before = OmegaConf.to_yaml(config)
    config_hash(config)
    assert OmegaConf.to_yaml(config) == before


def test_what_cannot_be_resolved_yet_does_no_harm(config: DictConfig) -> None:
    config.scheme.fraction = "${hydra:job.num}"
    assert len(config_hash(config)) == 64


def test_result_is_read_as_written(tmp_path: Path) -> None:
    result = {"settings": {}, "rows": {"dau": {"UA": 3.4600000000000004, "gaps": None}}, "name": "Ärger"}
    assert read_result(tmp_path) is None
    run_folder(tmp_path).write_result(result)
    assert read_result(tmp_path) == result
    written = json.loads((tmp_path / "result.json").read_text())
    assert len(written.pop("sha256")) == 64
    assert written == result
    assert [path.name for path in tmp_path.iterdir()] == ["result.json"]


def test_no_result_where_there_is_no_folder(tmp_path: Path) -> None:
    assert read_result(tmp_path / "missing") is None


def test_a_result_that_cannot_be_written_leaves_the_former(tmp_path: Path) -> None:
    run_folder(tmp_path).write_result({"settings": {}, "rows": {"seed": 0}})
    with pytest.raises(TypeError):
        run_folder(tmp_path).write_result({"seed": object()})
    assert read_result(tmp_path) == {"settings": {}, "rows": {"seed": 0}}


def test_a_result_appears_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any) -> None:
        raise OSError("killed")

    run_folder(tmp_path).write_result({"settings": {}, "rows": {"seed": 0}})
    with monkeypatch.context() as patch:
        patch.setattr("dau_lightning.storage.atomic.os.replace", fails)
        with pytest.raises(InputError, match="killed"):
            run_folder(tmp_path).write_result({"seed": 1})
    assert read_result(tmp_path) == {"settings": {}, "rows": {"seed": 0}}


def test_a_finished_run_is_found(tmp_path: Path, config: DictConfig) -> None:
    assert finished(tmp_path, config) is None
    begin(tmp_path, config)
    assert finished(tmp_path, config) is None
    finish(tmp_path, settings=OmegaConf.to_container(config), files={})
    assert (finished(tmp_path, config) or {})["rows"] == {}
    config.store.root = "elsewhere"
    assert finished(tmp_path, config) is not None
    (tmp_path / "config.yaml").unlink()  # then only result.json tells
    assert finished(tmp_path, config) is not None
    config.overwrite = True
    assert finished(tmp_path, config) is None


def test_of_two_processes_the_second_waits_and_finds_the_run_finished(tmp_path: Path, config: DictConfig) -> None:
    with ExitStack() as held:
        RunFolder.of(tmp_path, config).start(held, "split")
        with pytest.raises(Timeout), FileLock(tmp_path / "run.lock", blocking=False):
            pass
    finish(tmp_path, settings=OmegaConf.to_container(config), files={})
    with pytest.raises(FinishedMeanwhile, match="the same command shows it"):
        begin(tmp_path, config)
    assert (tmp_path / "result.json").exists()
    config.overwrite = True
    begin(tmp_path, config)
    assert not (tmp_path / "result.json").exists()


def test_a_finished_run_of_another_folder_of_images_is_refused(tmp_path: Path, config: DictConfig) -> None:
    finish(tmp_path, settings={"dataset": {"root": "here"}})
    config.dataset.root = "here"
    assert finished(tmp_path, config) is not None
    config.dataset.root = "there"
    with pytest.raises(InputError, match=r"images in dataset\.root=here, got there; .*overwrite=true"):
        finished(tmp_path, config)


@pytest.mark.parametrize("size", [None, 0, 7, 30, -1])
def test_a_finished_run_whose_weights_are_cut_off_or_missing_is_refused(
    tmp_path: Path, config: DictConfig, size: int | None
) -> None:
    finish(tmp_path, settings=OmegaConf.to_container(config))
    weights = tmp_path / "unlearned.safetensors"
    if size is None:
        weights.unlink()
    else:
        weights.write_bytes(weights.read_bytes()[:size])
    with pytest.raises(InputError, match=r"weights are missing or damaged .* overwrite=true"):
        finished(tmp_path, config)
    config.overwrite = True
    assert finished(tmp_path, config) is None


def test_a_finished_run_of_another_request_is_refused(tmp_path: Path, config: DictConfig) -> None:
    (tmp_path / "forget.txt").write_text("3\n")
    config.scheme.file = str(tmp_path / "forget.txt")
    begin(tmp_path, config)
    settings: Any = OmegaConf.to_container(config)
    finish(tmp_path, settings=settings, files=user_files(settings))
    assert finished(tmp_path, config) is not None
    (tmp_path / "forget.txt").write_text("4\n")
    with pytest.raises(InputError, match=r"finished run of other settings or another list; .*hydra\.run\.dir"):
        finished(tmp_path, config)
    (tmp_path / "forget.txt").write_text("3\n")
    config.seed = 1
    with pytest.raises(InputError, match="finished run of other settings"):
        finished(tmp_path, config)


LEFT = ("metrics.csv", "unlearned.checkpoint", "unlearned.safetensors")


@pytest.mark.parametrize("name", [*LEFT, "config.yaml"])
@pytest.mark.parametrize("case", ["unfinished", "finished", "another", "damaged", "paths", "split"])
def test_a_start_goes_on_with_its_own_unfinished_run_only(tmp_path: Path, config: DictConfig, case: str, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    for each in LEFT:
        (tmp_path / each).write_text("left")
    before = config.copy()
    if case == "finished":
        run_folder(tmp_path).write_result({"settings": OmegaConf.to_container(config), "rows": {}})
        config.overwrite = True
    elif case == "another":
        before.seed = 1
    elif case == "paths":
        before.store.root = "elsewhere"
    begin(tmp_path / "elsewhere", before, "other" if case == "split" else "split")
    text = (tmp_path / "elsewhere" / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text("# split_hash split\n: [" if case == "damaged" else text)
    begin(tmp_path, config)
    assert (tmp_path / name).exists() == (name == "config.yaml" or case in ("unfinished", "paths"))
    assert OmegaConf.load(tmp_path / "config.yaml") == config
    assert not (tmp_path / "result.json").exists()


@pytest.mark.parametrize("text", ["", '{"settings": {}, "rows": {', "[]", "{}", "null", "\x00\x01"])
def test_a_result_that_cannot_be_used_is_set_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.warns(UserWarning, match=r"result\.json cannot be used .* set aside as result\.json\.bad"):
        assert read_result(tmp_path) is None
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("result.json.bad", text)]
