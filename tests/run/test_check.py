"""Mistakes in the settings of a command line, each refused in one line, and settings that are none."""

import shlex
from pathlib import Path
from typing import Any

import pytest
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf

from dau_lightning.base.error import InputError
from dau_lightning.run.check import check
from dau_lightning.run.ranges import PIXELS, TABLE, TYPES, accepts, require_in_range, rule_of
from tests.composed import CONF, GROUPS, PARTS, choices, complete, composed, every_choice


def refusal(line: str) -> str:
    sweep, *settings = shlex.split(line) if line.startswith("-m ") else ["", *shlex.split(line)]
    with pytest.raises(InputError) as caught:
        check(settings, sweep == "-m")
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    return message


WITH_TERM = "bad_teacher, cf_k, coun, dau, dau_paper, eu_k, finetune, l1_sparse, lotus, negation, neggrad_plus, random_label, "
WITH_TERM += "regun, salun, scrub, scrub_rewind, sfron, small_gradients, transpose"
DATASETS = "cifar10, cifar100, cifar10_jpeg, digits, fashion, fashion_mnist, imagefolder, svhn, tiny_imagenet100"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        # names
        ("sede=1", "unknown setting 'sede'; did you mean 'seed'?"),
        ("baselin.lr=0.1", "unknown setting 'baselin.lr'; did you mean 'baseline.lr'?"),
        ("fraction=0.2", "unknown setting 'fraction'; did you mean 'scheme.fraction'?"),
        ("trainer={devicse:1}", "unknown setting 'trainer.devicse'; did you mean 'trainer.devices'?"),
        ("zzzz=1", "unknown setting 'zzzz'; `--cfg job` shows all settings"),
        ("baselin=dau", "unknown setting 'baselin'; did you mean 'baseline'?"),
        ("baseline/objektive=none", "unknown setting 'baseline/objektive'; did you mean 'baseline/objective'?"),
        ("baseline.lrr=0.1", "unknown setting 'baseline.lrr'; did you mean 'baseline.lr'? (baseline=dau)"),
        ("baseline=ssd baseline.lambda=2", "unknown setting 'baseline.lambda'; choose from alpha, dampening, batch_size (baseline=ssd)"),  # noqa: E501
        ("dataset=cifr10", f"unknown dataset 'cifr10'; choose from {DATASETS}; did you mean 'cifar10'?"),
        ("-m dataset=digits,cifr10", f"unknown dataset 'cifr10'; choose from {DATASETS}; did you mean 'cifar10'?"),
        ("baseline/projector=mpl", "unknown baseline/projector 'mpl'; choose from mlp, none; did you mean 'mlp'?"),
        # types and ranges
        ("seed=abc", "seed must be an integer of at least 0, got 'abc'"),
        ("seed=true", "seed must be an integer of at least 0, got true"),
        ("seed=", "seed must be an integer of at least 0, got ''"),
        ("seed=-1", "seed must be an integer of at least 0, got -1"),
        (f"seed={2**63}", f"seed must be at most {2**63 - 1}, got {2**63}"),
        ("-m seed=0,1,x", "seed must be an integer of at least 0, got 'x'"),
        ("val_from_test=1.0", "val_from_test must be null or a finite number above 0 and below 1, got 1.0"),
        ("baseline.lr=nan", "baseline.lr must be a finite number above 0, got nan"),
        ("baseline.schedule=sine", "baseline.schedule must be one of constant, linear, cosine, one_cycle, step, got 'sine'"),
        ("baseline=neggrad_plus baseline.retain_weight=2", "baseline.retain_weight must be a finite number of at least 0 and of at most 1, got 2"),  # noqa: E501
        ("baseline=salun baseline.share=0", "baseline.share must be a finite number above 0 and of at most 1, got 0"),
        ("baseline=lotus baseline.retain_share=2", "baseline.retain_share must be a finite number above 0 and of at most 1, got 2"),  # noqa: E501
        ("baseline.attacker.stored_batches=0", "baseline.attacker.stored_batches must be an integer of at least 1, got 0"),
        ("baseline=cf_k baseline.last_layers=0", "baseline.last_layers must be an integer of at least 1, got 0"),
        ("baseline.milestones=[true]", "baseline.milestones must be [] or a list, each an integer of at least 1, got [True]"),
        ("transform.std=[0]", f"transform.std must be null or a list, each a finite number above 0 {PIXELS}, got [0]"),
        ("transform.mean=[9]", f"transform.mean must be null or a list, each a finite number of at least 0 {PIXELS}, got [9]"),
        ("network=own +network.x=3 +x=1", "cannot use '+x=1': no setting can be added or removed, only changed"),
        ("network=resnet9 +network.depth=3", "cannot use '+network.depth=3': no setting can be added or removed, only changed"),
        ("selection=1", "selection must be true or false, got 1"),
        ("wandb.project=3", "wandb.project must be text (within quotes if it is a number), got 3"),
        ("dataset=imagefolder dataset.root=x dataset.channels=2", "dataset.channels must be 1 or 3, got 2"),
        ("dataset=imagefolder dataset.root=x dataset.channels=true", "dataset.channels must be 1 or 3, got true"),
        ("dataset=imagefolder", "dataset.root must be given: write dataset.root=VALUE"),
        ("trainer=3", "unknown setting 'trainer'; did you mean 'trainer.devices'?"),
        ("baseline.term=x", "unknown setting 'baseline.term'; did you mean 'baseline/term'? (baseline=dau)"),
        ("baseline=coun baseline.view_padding=0", "baseline.view_padding must be null or an integer of at least 1, got 0"),
        ("'baseline/term=[contrastive]' baseline.term.contrastive.view_padding=0", "baseline.term.contrastive.view_padding must be null or an integer of at least 1, got 0"),  # noqa: E501
        ("baseline=coun baseline.view_flip=1", "baseline.view_flip must be null or true or false, got 1"),
        ("baseline=amun 'baseline/term=[contrastive]'", f"baseline=amun takes no baseline/term; choose from {WITH_TERM}"),
        ("baseline=ssd baseline/objective=min_max", "baseline=ssd takes no baseline/objective; choose from dau, dau_paper"),
        # sweeps
        ("-m trainer.devices=1,2", "trainer.devices must be 1 in a sweep, whose jobs would share them"),
        ("experiment=table2", "experiment=table2 is a sweep of many jobs: add -m"),
        ("-m experiment=table2 sparsity=dense seed=0,-1", "seed must be an integer of at least 0, got -1"),
        ("-m 'seed=range(3,1)'", "seed must have values to sweep over, got 'seed=range(3,1)'"),
    ],
)  # fmt: skip
def test_a_mistake_is_named_with_what_is_allowed(line: str, message: str) -> None:
    assert refusal(line) == message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("seed", ["'seed'", "KEY=VALUE"]),
        ("seed=[1", ["'seed=[1'", "KEY=VALUE"]),
        ("seed=???", ["seed"]),
        ("seed=1,2", ["seed must be one value", "-m"]),
        ("+unknown=1", ["'+unknown=1'", "only changed"]),
        ("~seed", ["'~seed'", "only changed"]),
        ("metric=[confidence,entrpy]", ["metric", "'entrpy'", "'entropy'"]),
        ("metric=[]", ["metric", "at least one"]),
        ("sparsity=0.95", ["sparsity=0.95"]),
        ("baseline=finetune baseline/objective=wasserstein", ["baseline/objective", "baseline=finetune"]),
        ("-m baseline=dau,finetune baseline.adversarial_weight=0.5", ["baseline.adversarial_weight", "baseline=finetune"]),
        ("transform.mean.7=0.5", ["transform.mean.7"]),
        ("'seed=${nope}'", ["'nope'"]),
        ("hydra.runn.dir=/x", ["hydra.runn.dir"]),
        ("-m seed=0,1 hydra/launcher=cores hydra.launcher.n_jobs=0", ["hydra.launcher.n_jobs", "-1", "at least 1", "got 0"]),
        ("hydra/launcher=nope", ["unknown hydra/launcher 'nope'; choose from basic, cores, slurm"]),  # the extra adds more
        ("-m seed=0,1 hydra/launcher=slurm", ["the extra slurm"]),
    ],
)
def test_a_rarer_mistake_is_one_line_too(line: str, words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(ConfigStore.instance().repo["hydra"].get("launcher", {}), "submitit_slurm.yaml", raising=False)
    message = refusal(line)
    assert [word for word in words if word not in message] == []


@pytest.mark.parametrize(
    "line",
    [
        f"seed={2**63 - 1} baseline.pretraining_steps={2**31 - 1}",
        "-m seed=range(0,20) scheme=random,classwise baseline=choice(finetune,original) 'dataset=glob(cifar*0)'",
        "hydra.mode=MULTIRUN seed=1,2",
        "-m seed=0,1 hydra/launcher=cores hydra.launcher.n_jobs=2 hydra.launcher.minutes=0.6",
        "scheme=classwise scheme.target=[3,cat] scheme.fraction=0.5 scheme.level=coarse metric=entropy",
        "scheme=indices scheme.file=a.csv \"scheme.where='user_id == 17'\" continue_from=runs/a",
        "baseline.adversarial_steps=null baseline.milestones=[5,2] baseline.objective={saturating:false}",
        "'baseline/term=[gradient_ascent,fisher_noise]' baseline.term.gradient_ascent.weight=0.5 baseline._target_=mine.Method",
        "'seed=${hydra:job.num}'",
        "'baseline.retain_batch_size=${baseline.forget_batch_size}' transform.mean.0=0.5",
        "dataset=imagefolder \"dataset.root='/a folder/with=signs'\" hydra.run.dir=/tmp/x +hydra.job.env_set.A=1",
    ],
)
def test_settings_without_a_mistake(line: str) -> None:
    sweep, *settings = shlex.split(line) if line.startswith("-m ") else ["", *shlex.split(line)]
    check(settings, sweep == "-m")


@pytest.mark.parametrize("line", every_choice(), ids=" ".join)
def test_every_yaml_file_passes(line: list[str]) -> None:
    check(complete(*line))


@pytest.mark.parametrize(("files", "place"), [("paper/*.yaml", 0), ("tuned/*.yaml", 1), ("experiment/*/*.yaml", 0)])
def test_every_preset_changes_known_settings_within_their_ranges(files: str, place: int) -> None:
    for path in CONF.glob(files):
        known = leaves(composed(f"baseline={path.stem.split('-')[place]}"))
        for name, value in leaves(OmegaConf.load(path)).items():
            require_in_range(name, known[name], OmegaConf.to_container(value) if OmegaConf.is_list(value) else value)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", choices("experiment"))
def test_every_experiment_passes(experiment: str) -> None:
    check(complete(f"experiment={experiment}"), sweep=True)


def test_every_folder_of_yaml_files_is_tested_above() -> None:
    folders = {path.parent.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")}
    folders -= {f"experiment/{name}" for name in choices("experiment")}  # cells of experiments, in tests/test_conf.py too
    assert folders == {*GROUPS, *PARTS, ".", "hydra/launcher", "paper", "search", "audit", "tuned", "experiment"}


def leaves(node: Any, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in node:
        value = "???" if OmegaConf.is_missing(node, name) or OmegaConf.is_interpolation(node, name) else node[name]
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, DictConfig) else {f"{prefix}{name}": value}
    return found


def test_every_rule_belongs_to_a_setting() -> None:
    launcher = OmegaConf.create({"launcher": OmegaConf.load(CONF / "hydra" / "launcher" / "cores.yaml")})
    names = [*leaves(launcher), *(name for line in every_choice() for name in leaves(composed(*line)))]
    rules = {rule_of(name, "???") for name in names}
    assert {rule for rule in TABLE.values() if rule not in rules} == set()


def test_another_hydra_application_keeps_its_state() -> None:
    host = GlobalHydra.instance()
    host.hydra = marker = object()  # type: ignore[assignment]
    try:
        check(["seed=1"])
        assert GlobalHydra.instance() is host
        assert host.hydra is marker
    finally:
        host.clear()


def test_a_new_method_needs_no_line_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "mine.yaml").write_text(
        "_target_: mine.Mine\nstrength: 0.5\nlayers: 3\nflag: true\nname: a\nranks: [0.1, 1]\nwords: [a]\nfree: null\n"
    )
    own = f"hydra.searchpath=[{tmp_path}] baseline=mine"
    check(shlex.split(f"{own} baseline.strength=1 baseline.layers=-2 baseline.flag=false baseline.name=b"))
    check(shlex.split(f"{own} baseline.ranks=[2] baseline.words=[b,3] baseline.free=x"))
    assert refusal(f"{own} baseline.strength=x") == "baseline.strength must be a finite number, got 'x'"
    assert refusal(f"{own} baseline.layers=1.5") == "baseline.layers must be an integer, got 1.5"
    assert refusal(f"{own} baseline.ranks=[a]") == "baseline.ranks must be a list, each a finite number, got ['a']"
    assert refusal(f"{own} baseline.words=b") == "baseline.words must be a list, got 'b'"
    assert "'baseline.layers'" in refusal(f"{own} baseline.layer=1")


@pytest.mark.parametrize(
    ("rule", "right", "wrong"),
    [
        ("an integer", [0, -3], [True, 1.0, "1", None]),
        ("an integer of at least 8 and of at most 1024", [8, 1024], [7, 1025]),
        ("a finite number", [1, -0.5, 10**400], [float("nan"), float("inf"), True, "1"]),
        ("a finite number above 0 and below 1", [0.5], [0, 1, 1.0]),
        ("null or a list, each a finite number above 0", [None, [1, 0.5]], [[], [0], 1]),
        ("[] or a list, each an integer of at least 1", [[], [2]], [[0], None, ""]),
        (TABLE["target"], [None, 0, "cat", [3, "cat"]], [-1, "", [], [1.5], 1.5]),
        ("one of a, b", ["a", "b"], ["a, b", None, ""]),
        (TYPES[bool], [True, False], [1, 0, "true"]),
    ],
)
def test_a_rule_means_what_it_says(rule: str, right: list[Any], wrong: list[Any]) -> None:
    assert [accepts(rule, value) for value in right + wrong] == [True] * len(right) + [False] * len(wrong)
