import re
import shlex
import subprocess
import sys
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from dau_lightning.base.error import InputError
from dau_lightning.run import command_line as settings
from tests.composed import CONF, GROUPS, PARTS, choices, complete, composed, every_choice


def refusal(line: str) -> str:
    with pytest.raises(InputError) as caught:
        settings.check(shlex.split(line), CONF)
    message = str(caught.value)
    assert len(message.splitlines()) == 1
    assert message == message.strip()
    assert not GlobalHydra.instance().is_initialized()
    return message


def chosen(preset: Path) -> list[str]:
    """The command line under which a preset takes part, from the names that it stands for."""
    for entry in OmegaConf.load(CONF / "config.yaml").defaults:
        raw = OmegaConf.to_container(entry) if OmegaConf.is_dict(entry) else {}
        pattern = raw.get(f"optional {preset.parent.name}@_global_") if isinstance(raw, dict) else None
        if pattern:
            match = re.fullmatch(re.sub(r"\\\$\\\{(\w+)\\\}", r"(?P<\1>[^-]+)", re.escape(pattern)), preset.stem)
            assert match, f"no combination of choices loads {preset.name}"
            return [f"{name}={choice}" for name, choice in match.groupdict().items()]
    raise AssertionError(f"config.yaml loads no {preset.parent.name}")


def leaves(node: DictConfig, prefix: str = "") -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in node:
        value = "???" if OmegaConf.is_missing(node, name) else node[name]
        found |= leaves(value, f"{prefix}{name}.") if isinstance(value, DictConfig) else {f"{prefix}{name}": value}
    return found


PRESETS = [path for folder in ("paper", "tuned") for path in sorted((CONF / folder).glob("*.yaml"))]
LINES = [*every_choice(), *map(chosen, PRESETS), *(["-m", f"experiment={name}"] for name in choices("experiment"))]


@pytest.mark.parametrize("line", LINES, ids=" ".join)
def test_every_yaml_composes_and_passes(line: list[str]) -> None:
    settings.check(complete(*line), CONF)


def test_these_are_all_yamls() -> None:
    folders = {path.parent.relative_to(CONF).as_posix() for path in CONF.rglob("*.yaml")}
    others = {".", "hydra/launcher", "paper", "tuned", "experiment"}
    assert folders - others == {*GROUPS, *PARTS}


def test_every_name_of_the_table_is_a_setting_and_takes_its_defaults() -> None:
    values: list[tuple[str, Any]] = []
    for line in every_choice():
        values += leaves(composed(*line)).items()
    launcher = OmegaConf.create({"hydra": {"launcher": OmegaConf.load(CONF / "hydra" / "launcher" / "cores.yaml")}})
    values += leaves(launcher).items()
    used: set[str] = set()
    for name, value in values:
        pattern = next((pattern for pattern in settings.RULES if fnmatchcase(f".{name}", f"*.{pattern}")), None)
        if pattern:
            used.add(pattern)
            if value == "???":
                continue
            assert settings.RULES[pattern].accepts(OmegaConf.to_container(value) if OmegaConf.is_list(value) else value), name
    assert sorted(set(settings.RULES) - used) == []


@pytest.mark.parametrize(
    "line",
    [
        "",
        "seed=3",
        f"seed={2**63 - 1} baseline.pretraining_steps={2**31 - 1}",
        "-m seed=0,1,2 scheme=random,classwise",
        "--multirun seed=range(0,200) baseline.lr=0.1,1",
        "-m 'dataset=glob(cifar*)' dataset.root=/data",
        "-m 'baseline=choice(finetune,original)'",
        "hydra.mode=MULTIRUN seed=1,2",
        "-m seed=0,1 hydra/launcher=cores hydra.launcher.n_jobs=2 hydra.launcher.minutes=0.6",
        "metric=[confidence,entropy]",
        "metric=entropy",
        "scheme=classwise scheme.target=3",
        "scheme=classwise scheme.target=cat",
        "scheme=classwise scheme.target=null",
        "scheme=classwise scheme.target=[3,cat] scheme.fraction=0.5 scheme.level=coarse",
        "scheme=classwise scheme.fraction=null",
        "scheme=indices scheme.file=a.csv \"scheme.where='user_id == 17'\" scheme.column=path",
        "val_from_test=0.5 original.checkpoint=a.pt continue_from=runs/a",
        "baseline=finetune baseline.lr=1e-3",
        "baseline.lr=1 baseline.weight_decay=0 baseline.momentum=0",
        "baseline.adversarial_steps=null",
        "baseline.adversarial_steps=100",
        "baseline.milestones=[2,5] baseline.schedule=step",
        "baseline.milestones=[]",
        "baseline.objective={saturating:false}",
        "baseline._target_=mine.Method",
        "baseline/objective=wasserstein baseline/penalty=dragan baseline.penalty.noise=1",
        "dataset=cifar10 scheme=classwise baseline/regulariser=vicreg",
        "'baseline/term=[gradient_ascent,fisher_noise]' baseline.term.gradient_ascent.weight=0.5",
        "-m baseline/regulariser=vicreg,contrastive,none baseline/attacker=transformer,several",
        "baseline.pairing=class",
        "'baseline.retain_batch_size=${baseline.forget_batch_size}'",
        "'seed=${hydra:job.num}'",
        "\"transform.mean=['${seed}']\"",
        "transform.mean=[0] transform.std=[1]",
        "transform.mean.0=0.5",
        "trainer.devices=1 trainer.accelerator=cpu trainer.precision=bf16-mixed",
        "reference=off selection=true overwrite=true",
        "dataset=imagefolder \"dataset.root='/a folder/with=signs'\"",
        "dataset=imagefolder dataset.root=/a/b dataset.image_size=64 dataset.train_limit=1000",
        "hydra.run.dir=/tmp/x +hydra.job.env_set.A=1 hydra/launcher=basic",
        "--cfg job seed=2",
        "--help --resolve",
        "--cfg job --resolve",
        "--shell-completion install=bash",
        "-sc uninstall=zsh",
        "--hydra-help",
        "--version",
        "--info",
    ],
)
def test_accepts(line: str) -> None:
    settings.check(shlex.split(line), CONF)
    assert not GlobalHydra.instance().is_initialized()


DATASETS = "cifar10, cifar100, digits, fashion, fashion_mnist, imagefolder, svhn"


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("dataset=cifr10", f"unknown dataset 'cifr10'; choose from {DATASETS} (did you mean 'cifar10'?)"),
        ("-m dataset=digits,cifr10", f"unknown dataset 'cifr10'; choose from {DATASETS} (did you mean 'cifar10'?)"),
        ("dataset=null", f"unknown dataset null; choose from {DATASETS}"),
        ("scheme=classwse", "unknown scheme 'classwse'; choose from classwise, indices, random (did you mean 'classwise'?)"),
        ("baseline.lrr=0.1", "unknown setting 'baseline.lrr'; did you mean 'baseline.lr'? (baseline=dau)"),
        ("baselin.lr=0.1", "unknown setting 'baselin.lr'; did you mean 'baseline.lr'?"),
        ("sceme=random", "unknown setting 'sceme'; did you mean 'scheme'?"),
        ("seeed=1", "unknown setting 'seeed'; did you mean 'seed'?"),
        ("fraction=0.2", "unknown setting 'fraction'; did you mean 'scheme.fraction'?"),
        ("trainer={devicse:1}", "unknown setting 'trainer.devicse'; did you mean 'trainer.devices'?"),
        ("zzzz=1", "unknown setting 'zzzz'; `--cfg job` shows all settings"),
        ("seed=abc", "seed must be an integer of at least 0, got 'abc'"),
        ("seed=1.5", "seed must be an integer of at least 0, got 1.5"),
        ("seed=true", "seed must be an integer of at least 0, got true"),
        ("seed=null", "seed must be an integer of at least 0, got null"),
        ("seed=", "seed must be an integer of at least 0, got ''"),
        ("seed=-1", "seed must be an integer of at least 0, got -1"),
        (f"seed={2**63}", f"seed must be at most {2**63 - 1}, got {2**63}"),
        (f"baseline.pretraining_steps={10**21}", f"baseline.pretraining_steps must be at most {2**31 - 1}, got {10**21}"),
        (f"baseline.milestones=[1,{2**31}]", f"baseline.milestones must be at most {2**31 - 1}, got [1, {2**31}]"),
        (f"baseline.lr={10**400}", f"baseline.lr must be at most {2**31 - 1}, got {10**400}"),
        ("-m seed=0,1,x", "seed must be an integer of at least 0, got 'x'"),
        ("scheme.fraction=0", "scheme.fraction must be a finite number above 0 and below 1, got 0"),
        ("scheme.fraction=1.0", "scheme.fraction must be a finite number above 0 and below 1, got 1.0"),
        ("scheme.fraction=-0.1", "scheme.fraction must be a finite number above 0 and below 1, got -0.1"),
        ("scheme.fraction=nan", "scheme.fraction must be a finite number above 0 and below 1, got nan"),
        ("baseline.lr=inf", "baseline.lr must be a finite number above 0, got inf"),
        ("baseline.momentum=1", "baseline.momentum must be a finite number of at least 0 and below 1, got 1"),
        ("baseline.schedule=cosine", "baseline.schedule must be one of constant, linear, one_cycle, step, got 'cosine'"),
        ("reference=maybe", "reference must be one of train, cached, off, got 'maybe'"),
        ("selection=1", "selection must be true or false, got 1"),
        (
            "baseline/objective=wasserstien",
            "unknown baseline/objective 'wasserstien'; choose from min_max, wasserstein (did you mean 'wasserstein'?)",
        ),
        (
            "baseline=finetune baseline/objective=wasserstein",
            "cannot use baseline/objective with baseline=finetune, which has no such group",
        ),
        (
            "baseline.objective=wasserstein",
            "baseline.objective must be a group of settings, got 'wasserstein'; "
            "to choose another write baseline/objective=NAME",
        ),
        ("trainer=3", "trainer must be a group of settings (accelerator, devices, precision, benchmark), got 3"),
        ("dataset=imagefolder", "dataset.root must be given: write dataset.root=VALUE"),
        ("seed==1,", "cannot read 'seed==1,': write KEY=VALUE, special characters within \"KEY='VALUE'\""),
    ],
)
def test_message(line: str, message: str) -> None:
    assert refusal(line) == message


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("metric=[confidence,entrpy]", ["metric", "'entrpy'", "'entropy'"]),
        ("metric=[]", ["metric", "entropy", "[]"]),
        ("dataset=[digits]", ["dataset", "['digits']", "-m"]),
        ("recipe=[resnet9,convnet]", ["recipe", "-m"]),
        ("sparsity=0.95", ["sparsity", "0.95", "dense"]),
        ("-m 'dataset=glob(x*)'", ["dataset", "glob(x*)"]),
        ("-m 'seed=range(3,1)'", ["seed", "range(3,1)"]),
        ("-m 'seed=interval(0,1)'", ["seed", "interval(0,1)"]),
        ("seed=1,2", ["seed", "'1,2'", "-m"]),
        ("dataset=digits,svhn", ["dataset", "'digits,svhn'", "-m"]),
        ("baseline=finetune baseline.adversarial_weight=0.5", ["baseline.adversarial_weight", "baseline=finetune"]),
        ("-m baseline=dau,finetune baseline.adversarial_weight=0.5", ["baseline.adversarial_weight", "baseline=finetune"]),
        ("+unknown=1", ["+unknown=1", "refuses"]),
        ("++seeed=1", ["++seeed=1", "refuses", "'seed'"]),
        ("+dataset=svhn", ["+dataset=svhn", "refuses", "'dataset'"]),
        ("~seed", ["~seed", "refuses"]),
        ("seed", ["'seed'", "KEY=VALUE"]),
        ("=3", ["'=3'", "KEY=VALUE"]),
        ("seed=[1", ["'seed=[1'", "KEY=VALUE"]),
        ("'seed=int(abc)'", ["seed=int(abc)", "invalid literal"]),
        ("dataset=imagefolder 'dataset.root=/a folder/with=signs'", ["/a folder/with=signs", "KEY='VALUE'"]),
        ("dataset=imagefolder dataset.root=3", ["dataset.root", "3", "quotes"]),
        ("dataset=imagefolder dataset.root=", ["dataset.root", "''"]),
        ("dataset=imagefolder dataset.root=/x dataset.image_size=4", ["dataset.image_size", "8", "1024", "4"]),
        ("dataset=imagefolder dataset.root=/x dataset.train_limit=0", ["dataset.train_limit", "at least 1", "0"]),
        ("scheme=classwise scheme.target=-1", ["scheme.target", "-1"]),
        ("scheme=classwise scheme.target=1.5", ["scheme.target", "1.5"]),
        ("scheme=classwise scheme.target=[3,1.5]", ["scheme.target", "[3, 1.5]"]),
        ("scheme=classwise scheme.target=[]", ["scheme.target", "[]"]),
        ("scheme=classwise scheme.fraction=1.5", ["scheme.fraction", "1.5"]),
        ("scheme=indices", ["scheme.file must be given"]),
        ("scheme=indices scheme.file=3", ["scheme.file", "3"]),
        ("val_from_test=1", ["val_from_test", "below 1"]),
        ("dataset=cifar100 dataset.level=middle", ["dataset.level", "fine, coarse", "'middle'"]),
        ("baseline.lr={a:1}", ["baseline.lr", "{'a': 1}"]),
        ("baseline.epochs=0", ["baseline.epochs", "at least 1", "0"]),
        ("baseline.retain_batch_size=0", ["baseline.retain_batch_size", "at least 1", "0"]),
        ("baseline.attacker_lr=0", ["baseline.attacker_lr", "above 0", "0"]),
        ("baseline.attacker_steps=0", ["baseline.attacker_steps", "at least 1", "0"]),
        ("baseline.pretraining_steps=-1", ["baseline.pretraining_steps", "at least 0", "-1"]),
        ("baseline.adversarial_steps=-1", ["baseline.adversarial_steps", "null", "-1"]),
        ("baseline.adversarial_weight=-1", ["baseline.adversarial_weight", "at least 0", "-1"]),
        ("baseline.batch_norm=none", ["baseline.batch_norm", "running", "'none'"]),
        ("baseline.milestones=[3,2]", ["baseline.milestones", "increasing", "[3, 2]"]),
        ("baseline.milestones=[true]", ["baseline.milestones", "[True]"]),
        ("baseline.objective=3", ["baseline.objective", "saturating", "3"]),
        ("baseline/objektive=wasserstein", ["baseline/objektive"]),
        ("baseline/penalty=[dragan]", ["baseline/penalty", "interpolated", "-m"]),
        ("baseline/term=[gradient_ascent,fisher]", ["baseline/term", "'fisher'", "fisher_noise"]),
        (
            "baseline/objective=wasserstein baseline.objective.saturating=false",
            ["'baseline.objective.saturating'", "baseline/objective=wasserstein"],
        ),
        ("-m baseline=dau,finetune baseline/penalty=none", ["baseline/penalty", "baseline=finetune"]),
        ("baseline/penalty=dragan baseline.penalty.weight=-1", ["baseline.penalty.weight", "-1"]),
        ("baseline.pairing=label", ["baseline.pairing", "random, class", "'label'"]),
        ("baseline.objective.saturating=0", ["baseline.objective.saturating", "true or false", "0"]),
        ("baseline.attacker={_partial_:false}", ["baseline.attacker", "_partial_"]),
        ("baseline._partial_=true", ["baseline._partial_", "true"]),
        ("baseline._target_=3", ["baseline._target_", "3"]),
        ("transform.mean=0.5", ["transform.mean", "list", "0.5"]),
        ("transform.mean=[a]", ["transform.mean", "['a']"]),
        ("transform.mean.7=0.5", ["transform.mean.7"]),
        ("transform.mean.x=0.5", ["transform.mean.x"]),
        ("transform.std=[0]", ["transform.std", "above 0", "[0]"]),
        ("transform.std.0=nan", ["transform.std", "nan"]),
        ("trainer.devices=0", ["trainer.devices", "an integer of at least 1", "0"]),
        ("-m trainer.devices=1,2", ["trainer.devices", "sweep"]),
        ("-m seed=0,1 trainer.devices=2", ["trainer.devices", "sweep"]),
        ("trainer.accelerator=gppu", ["trainer.accelerator", "gpu", "'gppu'"]),
        ("trainer={precision:8}", ["trainer.precision", "32-true", "8"]),
        ("wandb.mode=on", ["wandb.mode", "online", "'on'"]),
        ("wandb.project=3", ["wandb.project", "text", "3"]),
        ("metric.confidence.statistic=3", ["metric.confidence.statistic", "text", "3"]),
        ("seed=???", ["seed must be given"]),
        ("'seed=${nope}'", ["seed", "'nope'"]),
        ("\"seed='${nope'\"", ["seed", "${nope"]),
        ("\"transform.mean=['${nope}']\"", ["transform.mean", "'nope'"]),
        ("'seed=${oc.env:DAU_NOPE}'", ["seed", "DAU_NOPE"]),
        ("'seed=${nope:1}'", ["seed", "nope"]),
        ("hydra.runn.dir=/x", ["hydra.runn.dir"]),
        ("hydra/launcher=nope", ["hydra/launcher", "nope", "basic"]),
        ("-m seed=0,1 hydra/launcher=cores hydra.launcher.n_jobs=0", ["hydra.launcher.n_jobs", "-1", "at least 1", "got 0"]),
        ("-m seed=0,1 hydra/launcher=cores hydra.launcher.n_jobs=-2", ["hydra.launcher.n_jobs", "got -2"]),
        ("-m seed=0,1 hydra/launcher=cores hydra.launcher.n_jobs=two", ["hydra.launcher.n_jobs", "got 'two'"]),
        ("-m seed=0,1 hydra/launcher=cores hydra.launcher.minutes=-1", ["hydra.launcher.minutes", "above 0", "got -1"]),
        ("-m seed=0,1 hydra/launcher=cores hydra.launcher.minutes=1e9", ["hydra.launcher.minutes", "below 30000"]),
        ("-m hydra/launcher=basic,joblib", ["hydra/launcher", "basic,joblib"]),
        ("hydra.searchpath=[1] seed=1", ["hydra.searchpath", "1"]),
        ("dataset@foo=svhn", ["dataset@foo"]),
        ("--resolve", ["--resolve", "--cfg job --resolve"]),
        ("--experimental-rerun x", ["--experimental-rerun", "overwrite=true"]),
        ("--run -m seed=1", ["--run and --multirun"]),
        ("--cfg job -m seed=1,2", ["--multirun and --cfg"]),
        ("--shell-completion", ["--shell-completion", "install=SHELL", "''"]),
        ("--shell-completion x", ["install=SHELL", "'x'"]),
        ("--shell-completion install=nope", ["bash, fish, zsh", "'install=nope'"]),
        ("--shell-completion query=bash", ["'query=bash'"]),
        ("--multirn seed=1", ["--multirn"]),
        ("seed=1 -m scheme=random", ["scheme=random", "flags"]),
        ("--config-dir /nope/none seed=1", ["--config-dir", "/nope/none"]),
        ("--config-name nope", ["nope"]),
    ],
)
def test_names_setting_and_value(line: str, words: list[str]) -> None:
    message = refusal(line)
    assert [word for word in words if word not in message] == []


def test_a_new_method_needs_no_line_in_the_table(tmp_path: Path) -> None:
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "mine.yaml").write_text(
        "_target_: mine.Mine\nstrength: 0.5\nlayers: 3\nflag: true\nname: a\nranks: [0.1, 1]\nwords: [a]\nfree: null\n"
    )
    own = f"--config-dir {tmp_path} baseline=mine"
    settings.check(shlex.split(f"{own} baseline.strength=1 baseline.layers=-2 baseline.flag=false baseline.name=b"), CONF)
    settings.check(shlex.split(f"{own} baseline.ranks=[2] baseline.words=[b,3] baseline.free=x"), CONF)
    assert refusal(f"{own} baseline.strength=x") == "baseline.strength must be a finite number, got 'x'"
    assert refusal(f"{own} baseline.layers=1.5") == "baseline.layers must be an integer, got 1.5"
    assert refusal(f"{own} baseline.flag=1") == "baseline.flag must be true or false, got 1"
    assert refusal(f"{own} baseline.ranks=[a]") == "baseline.ranks must be a list, each a finite number, got ['a']"
    assert refusal(f"{own} baseline.words=b") == "baseline.words must be a list, got 'b'"
    assert "'baseline.layers'" in refusal(f"{own} baseline.layer=1")


def test_a_yaml_with_a_value_out_of_range_is_refused(tmp_path: Path) -> None:
    (tmp_path / "baseline").mkdir()
    (tmp_path / "baseline" / "mine.yaml").write_text("lr: -1\n")
    assert refusal(f"--config-dir {tmp_path} baseline=mine") == "baseline.lr must be a finite number above 0, got -1"
    (tmp_path / "baseline" / "broken.yaml").write_text("lr: [\n")
    assert "broken.yaml" in refusal(f"--config-dir {tmp_path} baseline=broken")


def test_hydra_runs_after_the_check_without_torch(tmp_path: Path) -> None:
    script = tmp_path / "app.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport hydra\nfrom dau_lightning.run.command_line import check\n"
        f"check(sys.argv[1:], Path({str(CONF)!r}))\n"
        f"@hydra.main(config_path={str(CONF)!r}, config_name='config', version_base=None)\n"
        "def main(config):\n    print(config.seed, {'torch', 'lightning'} & set(sys.modules))\n"
        "main()\n"
    )
    command = [sys.executable, str(script), "-m", "seed=1,2", f"hydra.sweep.dir={tmp_path}", "hydra.sweep.subdir=${seed}"]
    done = subprocess.run(command, cwd=CONF.parent, capture_output=True, text=True, env={"PYTHONPATH": str(CONF.parent)})
    assert done.returncode == 0, done.stderr
    assert [line for line in done.stdout.splitlines() if line.endswith("set()")] == ["1 set()", "2 set()"]


@pytest.mark.parametrize(
    ("argument", "read"),
    [
        ("scheme.where=user_id == 17", "user_id == 17"),
        ('scheme.where=country in ["NL"]', 'country in ["NL"]'),
        ("scheme.where='user_id == 17'", "user_id == 17"),
        ("scheme.where=null", None),
        ("continue_from=runs/digits/seed=0-6c40e03d", "runs/digits/seed=0-6c40e03d"),
        ('continue_from="runs/digits/seed=0-6c40e03d"', "runs/digits/seed=0-6c40e03d"),
        (
            "original.checkpoint=~/my runs/seed=0-6c40e03d/unlearned.safetensors",
            "~/my runs/seed=0-6c40e03d/unlearned.safetensors",
        ),
        ("dataset.root=a b", "a b"),
        ("metric=[confidence,entropy]", ["confidence", "entropy"]),
    ],
)
def test_quotes_that_the_shell_has_taken_off(argument: str, read: object) -> None:
    (override,) = OverridesParser.create().parse_overrides([settings.quoted(argument)])
    assert override.value() == read


@pytest.mark.parametrize(
    "argument", ["--config-dir=a=b", "-m", "seed=0,1", "scheme.target=[3,cat]", "seed=choice(0,1)", "a=${b}"]
)
def test_what_needs_no_quotes_gets_none(argument: str) -> None:
    assert settings.quoted(argument) == argument
