"""The search: ranges, trials that go on, the preset that it writes, and the real command."""

import re
import shlex
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from omegaconf import OmegaConf
from optuna.samplers import TPESampler
from optuna.trial import FixedTrial

from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.base.error import InputError, TrainingError
from dau_lightning.run.composition import configuration
from dau_lightning.run.ranges import require_in_range
from dau_lightning.search import __main__ as command
from dau_lightning.search import preset as presets
from dau_lightning.search.preset import preset, train_command
from dau_lightning.search.space import limits, suggested
from dau_lightning.search.study import WORST, Search, best
from dau_lightning.storage.run_folder import FinishedMeanwhile
from tests.composed import composed

RANGES = {"lr": {"low": 0.01, "high": 0.5, "log": True}, "epochs": [2, 5]}


def test_values_are_of_the_ranges() -> None:
    trial = FixedTrial({"lr": 0.3, "epochs": 5, "steps": 4})
    ranges = RANGES | {"steps": {"low": 1, "high": 8}}
    assert suggested(trial, ranges) == {"lr": 0.3, "epochs": 5, "steps": 4}  # type: ignore[arg-type]


NO_LOW = {"low": 0, "high": 1, "log": True}


@pytest.mark.parametrize("bad", [3, [], {"low": 1}, {"low": 2, "high": 1}, {"low": 1, "high": 2, "step": 1}, NO_LOW])
def test_other_ranges_are_refused(bad: Any) -> None:
    with pytest.raises(InputError, match=r"search\.lr must"):
        limits({"lr": bad})


@pytest.mark.parametrize("path", sorted((CONFIG_FOLDER / "search").glob("*.yaml")), ids=lambda path: path.stem)
def test_ranges_name_settings_of_their_method(path: Path) -> None:
    baseline = path.stem.partition("-")[0]  # dau-photographs: other ranges for dau
    ranges: Any = OmegaConf.to_container(OmegaConf.load(path))
    settings = composed(f"baseline={baseline}").baseline
    assert ranges
    assert set(ranges) <= set(settings)
    for name, values in limits(ranges).items():
        for value in values:
            require_in_range(f"baseline.{name}", settings[name], value)


class Scores:
    """A bowl whose lowest point is a rate of 0.1; counts its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[Mapping[str, Any], int]] = []

    def __call__(self, values: Mapping[str, Any], seed: int) -> float:
        self.calls.append((values, seed))
        if values["lr"] > 0.4:
            raise TrainingError("the loss is nan")
        return abs(values["lr"] - 0.1) * 10 + values["epochs"] / 10


def test_a_search_finds_the_bowl_and_goes_on_where_it_was_left(tmp_path: Path) -> None:
    scores = Scores()
    search = Search(RANGES, 2, scores)
    study = search.run(tmp_path / "search.db", "bowl", 8)
    assert len(study.trials) == 8
    assert {seed for _, seed in scores.calls} == {100, 101}
    calls = len(scores.calls)
    study = search.run(tmp_path / "search.db", "bowl", 8)
    assert len(scores.calls) == calls
    study = search.run(tmp_path / "search.db", "bowl", 20)
    assert len(study.trials) == 20
    first = best(study)[0]
    assert first.params["lr"] == pytest.approx(0.1, abs=0.05)
    assert all(trial.value == WORST for trial in study.trials if trial.params["lr"] > 0.4)


def test_a_search_whose_trials_all_diverge_has_no_result(tmp_path: Path) -> None:
    search = Search({"lr": {"low": 0.5, "high": 1.0}, "epochs": [1]}, 1, Scores())
    with pytest.raises(InputError, match="every trial of the search diverged: give ranges with lower rates"):
        search.run(tmp_path / "search.db", "nothing", 2)


def test_half_of_the_trials_stop_after_two_seeds_and_half_of_the_rest_after_four(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optuna.samplers.TPESampler", partial(TPESampler, seed=0))  # a search of one process may have a seed
    scores = Scores()
    study = Search({"lr": {"low": 0.01, "high": 0.4}, "epochs": [2]}, 8, scores).run(tmp_path / "search.db", "halving", 30)
    ran = [trial.last_step for trial in study.trials]
    assert set(ran) == {2, 4, 8}
    assert ran.count(2) > 5
    assert len(scores.calls) == sum(step for step in ran if step)
    assert best(study)[0].last_step == 8


def test_several_processes_may_begin_at_once(tmp_path: Path) -> None:
    with ThreadPoolExecutor(4) as pool:  # each with a connection of its own, as processes have
        studies = list(pool.map(lambda name: Search(RANGES, 1, Scores()).run(tmp_path / "search.db", name, 1), "abcd"))
    assert [len(study.trials) for study in studies] == [1, 1, 1, 1]


def test_a_preset_has_the_best_values_and_the_fixed_settings(tmp_path: Path) -> None:
    study = Search(RANGES, 1, Scores()).run(tmp_path / "search.db", "bowl", 6)
    arguments = ["baseline=dau", "baseline.pretraining_steps=0", "dataset=fashion"]
    text = preset(study, RANGES, 1, arguments)
    made = OmegaConf.create(text)
    assert made.baseline.pretraining_steps == 0
    assert made.baseline.lr == pytest.approx(best(study)[0].params["lr"], rel=1e-2)
    assert "6 trials over lr 0.01 to 0.5 (log), epochs 2 or 5" in text.replace("\n# ", " ")
    assert max(map(len, text.splitlines())) <= 120


def test_a_choice_is_written_as_it_is_and_a_float_of_a_range_with_three_digits(tmp_path: Path) -> None:
    study = Search({"share": [0.9999], "lr": {"low": 0.123456, "high": 0.123456}}, 1, lambda *_: 1.0).run(
        tmp_path / "search.db", "digits", 1
    )
    assert OmegaConf.create(preset(study, RANGES, 1, [])).baseline == {"share": 0.9999, "lr": 0.123}
    assert "(share 0.9999, lr 0.123)" in preset(study, RANGES, 1, []).replace("\n# ", " ")
    assert train_command(study, []) == "python train.py baseline.share=0.9999 baseline.lr=0.123"


def test_a_preset_keeps_what_was_not_searched_and_the_former_file(tmp_path: Path) -> None:
    study = Search(RANGES, 1, Scores()).run(tmp_path / "search.db", "bowl", 2)
    made = OmegaConf.create(preset(study, RANGES, 1, [], {"lr": 9.0, "batch_size": 64}))
    assert made.baseline.batch_size == 64
    assert made.baseline.lr != 9.0
    presets.write(path := tmp_path / "tuned/a.yaml", "baseline: {lr: 1}\n")
    presets.write(path, "baseline: {lr: 2}\n")
    assert (path.read_text(), path.with_suffix(".yaml.old").read_text()) == ("baseline: {lr: 2}\n", "baseline: {lr: 1}\n")


def test_the_command_searches_and_writes_a_preset(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(presets, "CONFIG_FOLDER", tmp_path / "conf")  # no clone: the preset goes into ./tuned
    Path("ranges.yaml").write_text("lr: [0.05, 0.1]\n")
    tiny = ["dataset=digits", "dataset.train_limit=200", "dataset.test_limit=100", "recipe.epochs=1", "baseline.epochs=1"]
    tiny.append("wandb.mode=disabled")  # as the search sets it
    command.main(["baseline=finetune", *tiny, "trials=2", "seeds=1", "ranges=ranges.yaml"])
    made = OmegaConf.load("tuned/digits-finetune-random-dense.yaml")
    assert made.baseline.lr in (0.05, 0.1)
    printed = capsys.readouterr().out
    assert "written: tuned/digits-finetune-random-dense.yaml" in printed
    assert "wandb.mode" not in printed
    assert not list(Path("store").glob("retrain-*"))


def test_a_part_of_the_game_is_printed_as_a_command_since_no_preset_can_choose_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Search(RANGES, 1, Scores()).run(tmp_path / "search.db", "bowl", 2)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(presets, "CONFIG_FOLDER", tmp_path / "conf")
    monkeypatch.setattr("dau_lightning.search.study.Search.run", lambda *_: study)
    command.main(["baseline=dau", "dataset=fashion", "baseline/attacker=logistic", "trials=2", "seeds=1"])
    printed = capsys.readouterr().out.splitlines()
    assert not [path for path in tmp_path.rglob("*.yaml") if "fashion" in path.name]
    made = configuration(shlex.split(printed[-1].removeprefix("python train.py ")))[0].baseline
    assert made.attacker._target_.endswith("LogisticAttacker")
    assert made.lr == pytest.approx(best(study)[0].params["lr"], rel=1e-2)


@pytest.mark.slow
def test_a_choice_of_null_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(presets, "CONFIG_FOLDER", tmp_path / "conf")
    Path("ranges.yaml").write_text("l1_epochs: [null]\n")
    tiny = ["dataset=digits", "dataset.train_limit=200", "dataset.test_limit=100", "recipe.epochs=1", "baseline.epochs=1"]
    command.main(["baseline=l1_sparse", *tiny, "trials=1", "seeds=1", "ranges=ranges.yaml"])
    assert OmegaConf.load("tuned/digits-l1_sparse-random-dense.yaml").baseline.l1_epochs is None


def test_a_run_that_another_process_has_just_finished_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def finished(*_: Any) -> Any:
        raise FinishedMeanwhile("by another trial")

    results = iter([None, {"rows": {"finetune": {"score": 3.5}}}])
    monkeypatch.setattr("dau_lightning.storage.run_folder.RunFolder.finished", lambda _: next(results))
    monkeypatch.setattr("dau_lightning.run.job.make", finished)
    assert command._score(["baseline=finetune", "dataset=digits"], tmp_path, {"lr": 0.1}, 100) == 3.5


def test_a_search_in_an_experiment_has_its_settings_and_writes_a_file_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    study = Search(RANGES, 1, Scores()).run(tmp_path / "search.db", "bowl", 4)
    searched: list[Search] = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(presets, "CONFIG_FOLDER", tmp_path / "conf")  # no clone
    monkeypatch.setattr("dau_lightning.search.study.Search.run", lambda self, *_: searched.append(self) or study)
    of_experiment = ["experiment=full_cifar10", "dataset.root=/somewhere", "baseline=finetune", "scheme=classwise"]
    command.main([*of_experiment, "dataset.train_limit=5000", "trials=4", "seeds=1"])
    made = OmegaConf.load("experiment/full_cifar10/finetune-classwise-dense.yaml")
    assert set(made) == {"baseline"}
    assert made.baseline.lr == pytest.approx(best(study)[0].params["lr"], rel=1e-2)
    text = " ".join(Path("experiment/full_cifar10/finetune-classwise-dense.yaml").read_text().replace("\n# ", " ").split())
    assert "experiment=full_cifar10 dataset.root=FOLDER baseline=finetune" in text
    printed = capsys.readouterr().out
    runs = "every run of experiment=full_cifar10 with this name; it was searched with dataset.train_limit=5000\n"
    assert runs in printed
    settings = searched[0].score.args[0]  # type: ignore[attr-defined]
    config, choices = configuration([*settings, *command.FIXED])
    assert (choices["recipe"], choices["dataset"], config.dataset.train_limit) == ("resnet9_full", "cifar10_jpeg", 5000)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["trials=0"], "trials must be an integer of at least 1, got '0'"),
        (["seed=3"], "the search sets .* itself, got seed=3"),
        (["wandb.mode=online"], "the search sets .* itself, got wandb.mode=online"),
        (["baseline=dau_paper"], "there is no file .*dau_paper.yaml with the ranges to search"),
        (["baseline=nonsense"], "unknown baseline 'nonsense'"),
        (["scheme=memorised"], "scheme=memorised has no selection score"),
        (["baseline=retrain_again"], "baseline=retrain_again trains by the recipe"),
    ],
)
def test_mistakes_are_one_line(arguments: list[str], words: str) -> None:
    with pytest.raises(InputError, match=words):
        command.main(arguments)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "must have a line SETTING: RANGE"),
        ("[1, 2]", "must have a line SETTING: RANGE"),
        ("lr: [1, 2", "cannot read the ranges"),
        ("lr: 3", "search.lr must be a list of choices"),
        ("lr: {low: -1, high: 1}", "baseline.lr must be a finite number above 0, got -1"),
        ("epochs: [1, 0]", "baseline.epochs must be an integer of at least 1, got 0"),
        ("rate: [1, 2]", "unknown setting 'baseline.rate'"),
    ],
)
def test_mistakes_in_ranges_name_the_file_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.yaml").write_text(text)
    with pytest.raises(InputError, match=f"mine.yaml.*{re.escape(words)}|{re.escape(words)}.*mine.yaml"):
        command.main(["dataset=digits", "baseline=finetune", "ranges=mine.yaml"])
    assert [path.name for path in Path().iterdir()] == ["mine.yaml"]


@pytest.mark.slow
def test_other_ranges_are_another_study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = []
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dau_lightning.search.study.Search.run", lambda self, file, name, trials: names.append(name) or 1 / 0)
    for text in ("lr: [0.1]", "lr: [0.2]"):
        Path("mine.yaml").write_text(text)
        with pytest.raises(ZeroDivisionError):
            command.main(["dataset=digits", "baseline=finetune", "ranges=mine.yaml"])
    assert len(set(names)) == 2


def test_an_interrupt_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("dau_lightning.search.study.Search.run", interrupted)
    with pytest.raises(SystemExit, match="interrupted: the same command goes on"):
        command.main(["dataset=digits", "baseline=finetune"])
