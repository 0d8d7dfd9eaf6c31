"""Every yaml binds to what it names, and every preset holds the values that its name promises."""

import inspect
import itertools
import re
from typing import Any

import pandas as pd
import pytest
from hydra.utils import get_method
from omegaconf import DictConfig, OmegaConf

from dau_lightning.report.papers import papers_of
from dau_lightning.run.composition import composed as composition
from dau_lightning.run.composition import composing, configuration
from dau_lightning.run.sweep import names
from tests.composed import CONF, PARTS, choices, complete, composed, every_choice

# Number of jobs; the leaderboard has any number of methods, two schemes and five seeds.
EXPERIMENTS = {"table1": 140, "table2": 20, "figure2": 140, "photographs": 8 * 2 * 3}
# At full size: seeds and methods, and what else the table says of its runs.
FULL = {
    "full_cifar10": (3, 11, {"dataset": "cifar10_jpeg", "sparsity": "dense"}),
    "full_cifar10_sparse": (2, 2, {"dataset": "cifar10_jpeg", "sparsity": "omp95"}),
    "full_fashion_mnist": (2, 11, {"dataset": "fashion_mnist", "sparsity": "dense"}),
    "full_tiny_imagenet100": (2, 6, {"dataset": "tiny_imagenet100", "sparsity": "dense"}),
}
EXPERIMENTS |= {name: 2 * seeds * methods for name, (seeds, methods, _) in FULL.items()}


def targets(node: Any, path: str = "") -> list[tuple[str, dict[str, Any]]]:
    """Every node with a `_target_`, and those inside it."""
    found = [(path, node)] if "_target_" in node else []
    return found + [
        each for name, child in node.items() if isinstance(child, dict) for each in targets(child, f"{path}.{name}")
    ]


@pytest.mark.parametrize("line", every_choice(), ids=" ".join)
def test_targets_bind_to_their_signatures(line):
    bind(composed(*line))


def bind(config: DictConfig) -> None:
    """Bind every `_target_` of a configuration to its signature."""
    plain = OmegaConf.to_container(config, resolve=True)
    recipe = {**plain["recipe"]}
    given = {
        "dataset": {},
        "corruption": {"train": 0, "generator": 0},
        "scheme": {"train": 0, "generator": 0},
        "network": {"num_classes": 2, "in_channels": 1},
        **{name: {"num_classes": 2} for name in ("attacker", "transformer", "statistics")},
        "penalty": {"membership": 0, "forget": 0, "val": 0},
        "regulariser": {"forget": 0, "val": 0, "retain": 0},
        "projector": {"num_features": 2},
    }
    for path, node in targets(plain):
        target = get_method(node["_target_"]) if not inspect.isclass(_load(node["_target_"])) else _load(node["_target_"])
        settings = {name: value for name, value in node.items() if name not in ("_target_", "_partial_")}
        if path == ".network":
            settings.pop("features", None)  # the defender's
        later = dict(given.get(path.split(".")[-1], {})) if node.get("_partial_") else {}
        if path == ".baseline":
            later = {"defender": 0, "seed": 0, **(recipe if target.from_scratch else {})}
            bind_through_bases(target, {"batch_size": 1} | settings | later)  # DAU makes one of three
            continue
        inspect.signature(target).bind(**settings, **later)


def bind_through_bases(method: type, settings: dict[str, Any]) -> None:
    """Bind a method's settings to its constructor, and what that hands on as `settings` to the next one."""
    for base in method.__mro__:
        if "__init__" in vars(base):
            arguments = inspect.signature(base.__init__).bind(None, **settings).arguments
            settings = arguments.get("settings", {})
            if not settings:
                return
    raise AssertionError(f"{settings} reach no constructor")


@pytest.mark.parametrize("group", PARTS)
def test_a_part_of_the_game_makes_no_other_part(group):
    default = composed().baseline
    for choice in choices(group):
        other = composed(f"{group}={choice}").baseline
        part = group.split("/")[1]
        taken_along = {"penalty"} if choice == "wasserstein" else set()
        assert {name for name in default if default[name] != other[name]} <= {part} | taken_along
        assert set(other) == set(default)


def test_wasserstein_takes_a_penalty_along_unless_another_is_chosen():
    assert composed("baseline/objective=wasserstein").baseline.penalty._target_ == "dau_lightning.game.penalty.interpolated"
    other = composed("baseline/objective=wasserstein", "baseline/penalty=dragan").baseline
    assert other.penalty._target_ == "dau_lightning.game.penalty.dragan"


def test_terms_come_together():
    assert list(composed("baseline/term=[gradient_ascent,fisher_noise]").baseline.term) == ["gradient_ascent", "fisher_noise"]


def test_no_preset_reaches_into_a_part_that_has_choices():
    parts = {group.split("/")[1] for group in PARTS}
    for folder in ("paper", "tuned"):  # else a value for one choice would break the others
        for path in (CONF / folder).glob("*.yaml"):
            assert not parts & set(OmegaConf.load(path).get("baseline", {})), path.name


def _load(path: str) -> Any:
    module, name = path.rsplit(".", 1)
    return getattr(__import__(module, fromlist=[name]), name)


@pytest.mark.parametrize("folder", ["paper", "tuned"])
def test_every_preset_names_a_combination(folder):
    groups = ("baseline", "scheme", "sparsity") if folder == "paper" else ("dataset", "baseline", "scheme", "sparsity")
    combinations = {"-".join(names) for names in itertools.product(*map(choices, groups))}
    assert {path.stem for path in (CONF / folder).glob("*.yaml")} <= combinations


def swept(experiment: str, *overrides: str) -> list[dict[str, str]]:
    """The jobs of an experiment."""
    with composing():
        config = composition([f"experiment={experiment}"])
        config.hydra.overrides.task += overrides
        return [dict(override.split("=") for override in job.split()) for job in names(config)]


@pytest.mark.parametrize("experiment", choices("experiment"))
def test_an_experiment_names_existing_options(experiment):
    jobs = swept(experiment)
    methods = {job["baseline"] for job in jobs if "baseline" in job}
    assert len(jobs) == (len(methods) * 2 * 5 if experiment == "leaderboard" else EXPERIMENTS[experiment])
    for group in ("scheme", "sparsity", "baseline"):
        assert {job[group] for job in jobs if group in job} <= set(choices(group))


@pytest.mark.parametrize("experiment", FULL)
def test_a_table_at_full_size_completes_one_seed_and_scheme_after_the_other(experiment):
    seeds, methods, choices = FULL[experiment]
    jobs = swept(experiment)
    units = [(job["seed"], job["scheme"]) for job in jobs[::methods]]
    assert units == list(itertools.product(map(str, range(seeds)), ("random", "classwise")))
    assert all((job["seed"], job["scheme"]) == units[place // methods] for place, job in enumerate(jobs))
    assert "dau_paper" not in [job["baseline"] for job in jobs[: methods - 1]]
    config, chosen = configuration(complete(f"experiment={experiment}"))
    assert choices.items() <= chosen.items()
    assert (config.trainer.precision, config.figures, config.dynamics, config.wandb.mode) == ("32-true", False, 0, "disabled")
    assert config.recipe == OmegaConf.load(CONF / "recipe" / "resnet9_full.yaml")
    assert config.sparsity.get("rewind_epochs", 0) < 0.05 * config.recipe.epochs  # the paper's: 8 of 182


def test_a_table_has_a_folder_of_its_own():
    with composing():
        configs = [composition([f"experiment={name}"]) for name in choices("experiment") if name != "figure2"]
    folders = [config.hydra.sweep.dir for config in configs]
    assert len({*folders}) == len(folders)  # figure2 draws the runs of table1


CELLS = sorted((CONF / "experiment").glob("*/*.yaml"))


@pytest.mark.parametrize("experiment", sorted({path.parent.name for path in CELLS}))
def test_a_cell_of_an_experiment_is_one_that_it_sweeps_and_binds(experiment):
    cells = {"-".join(job[group] for group in ("baseline", "scheme", "sparsity")) for job in cells_of(experiment)}
    files = [path for path in CELLS if path.parent.name == experiment]
    assert {path.stem for path in files} <= cells
    for path in files:
        own = OmegaConf.load(path)
        assert set(own) <= {"baseline", "defaults"}, path  # the rest of a table has the same settings in every row
        method, scheme, sparsity = path.stem.split("-")
        line = [f"experiment={experiment}", f"baseline={method}", f"scheme={scheme}", f"sparsity={sparsity}"]
        config, _ = configuration(complete(*line))
        assert OmegaConf.merge(config.baseline, own.get("baseline", {})) == config.baseline, path
        bind(config)


def cells_of(experiment: str) -> list[dict[str, str]]:
    """The jobs of an experiment with the choices that all of them share."""
    with composing():
        chosen = composition(complete(f"experiment={experiment}")).hydra.runtime.choices
    return [{**chosen, **job} for job in swept(experiment)]


@pytest.fixture
def with_a_cell(tmp_path):
    """Puts settings of fine-tuning beside those of table1."""
    (tmp_path / "experiment" / "table1").mkdir(parents=True)
    (tmp_path / "experiment" / "table1" / "finetune-random-dense.yaml").write_text("baseline: {lr: 0.125, epochs: 7}\n")
    return lambda *line: configuration([f"hydra.searchpath=['{tmp_path}']", "baseline=finetune", *line])[0].baseline


def test_a_cell_of_an_experiment_has_settings_of_its_own(with_a_cell):
    own = with_a_cell("experiment=table1")
    assert (own.lr, own.epochs) == (0.125, 7)
    assert with_a_cell("experiment=table1", "baseline.lr=0.5").lr == 0.5
    for other in ([], ["experiment=leaderboard"], ["experiment=table1", "scheme=classwise"]):
        assert with_a_cell(*other).lr != 0.125


def test_the_leaderboard_has_every_method_but_those_it_compares_with():
    assert {job["baseline"] for job in swept("leaderboard")} == {*choices("baseline")} - {"original", "retrain"}


def test_the_readme_names_every_method_once_and_the_papers_that_reports_link():
    lines = [line.split(" | ") for line in (CONF.parent / "README.md").read_text().splitlines() if line[:3] == "| `"]
    names = [(name, paper) for first, paper, *_ in lines for name in re.findall(r"`(\w+)`", first)]
    assert sorted(name for name, _ in names) == choices("baseline")
    linked = pd.DataFrame({"kind": choices("baseline"), "method": choices("baseline")})
    written = {name: re.findall(r"\[([^]]+)\]\(([^)]+)\)", papers) for name, papers in names}
    assert papers_of(linked) == {name: papers for name, papers in sorted(written.items()) if papers}


@pytest.mark.slow
def test_the_readme_tells_the_batch_norm_of_every_method():
    lines = [line.split(" | ") for line in (CONF.parent / "README.md").read_text().splitlines() if line[:3] == "| `"]
    told = {name: line[3].partition(" ")[0].strip(",") for line in lines for name in re.findall(r"`(\w+)`", line[0])}
    modes = {name: configuration([f"baseline={name}"])[0].baseline.get("batch_norm", "stays") for name in told}
    assert {name: mode for name, mode in told.items() if mode != modes[name]} == {
        "dau": "update",  # of the batch of retain and forget images; `batch` is for val images
        "dau_paper": "update",  # of retain images, likewise
        "retrain": "update",
        "retrain_again": "update",
    }


@pytest.mark.parametrize(("scheme", "rate"), [("random", 0.01), ("classwise", 0.02), ("indices", 0.01), ("corrupted", 0.01)])
def test_the_papers_game_has_a_printed_rate_in_every_scheme(scheme, rate):
    assert configuration(["baseline=dau_paper", f"scheme={scheme}"])[0].baseline.lr == rate


def test_the_command_line_wins_over_an_experiment():
    jobs = swept("table1", "seed=7", "dataset=digits,cifar10", "sparsity=dense")
    assert len(jobs) == 2 * 2 * 7
    assert {job["dataset"] for job in jobs} == {"digits", "cifar10"}
    assert not [job for job in jobs if "seed" in job]  # all share it


@pytest.fixture(scope="module")
def ablated():
    return {float(job["baseline.regulariser_weight"]) for job in swept("table2")}


@pytest.mark.parametrize(("dataset", "sparsity"), [*itertools.product(choices("dataset"), choices("sparsity"))])
def test_the_ablation_compares_zero_with_what_the_presets_have(ablated, dataset, sparsity):
    cell = f"dataset={dataset}", f"sparsity={sparsity}", "scheme=random", "baseline=dau_paper"
    weight = composed(*cell).baseline.regulariser_weight
    assert ablated == {weight, 0.0}


PAPER = {
    ("random", "dense"): {"lr": 0.01, "adversarial_steps": None},
    ("random", "omp95"): {"lr": 0.03, "adversarial_steps": None},
    ("classwise", "dense"): {"lr": 0.02, "adversarial_steps": 30},
    ("classwise", "omp95"): {"lr": 0.02, "adversarial_steps": 30},
}


@pytest.mark.parametrize(("scheme", "sparsity"), PAPER)
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "digits"])
def test_the_papers_settings_apply_by_themselves(dataset, scheme, sparsity):
    chosen = ["baseline=dau_paper", "network=resnet18"] if dataset == "digits" else []  # CIFAR chooses both
    config = composed(f"dataset={dataset}", f"scheme={scheme}", f"sparsity={sparsity}", *chosen)
    method = config.baseline
    assert method.label == "DAU (paper)"
    assert {name: method[name] for name in PAPER[scheme, sparsity]} == PAPER[scheme, sparsity]
    assert (method.adversarial_weight, method.regulariser_weight) == (0.9, 1e-3)
    assert (method.regulariser.off_diagonal_weight, method.sensitivity.copies, method.pretraining_steps) == (5e-3, 10, 1000)
    recipe = {"epochs": 182, "batch_size": 256, "lr": 0.1, "momentum": 0.9, "weight_decay": 5e-4, "schedule": "step"}
    assert {name: config.recipe[name] for name in recipe} == recipe
    assert list(config.recipe.milestones) == [91, 136]
    assert config.network._target_ == "dau_lightning.network.resnet18"


@pytest.mark.parametrize(("scheme", "sparsity"), PAPER)
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_the_papers_baselines(dataset, scheme, sparsity):
    cell = f"dataset={dataset}", f"scheme={scheme}", f"sparsity={sparsity}"
    tuned = composed(*cell, "baseline=finetune").baseline
    assert (tuned.epochs, tuned.lr, tuned.schedule) == (10, 0.01, "constant")
    ascent = composed(*cell, "baseline=gradient_ascent").baseline
    assert ascent.epochs == 5
    assert (ascent.lr == 1e-4) is ((dataset, scheme) == ("cifar10", "classwise"))


def test_the_command_line_wins_over_a_preset():
    config = composed("dataset=cifar10", "scheme=classwise", "baseline.lr=0.5", "baseline.sensitivity.copies=3")
    assert (config.baseline.lr, config.baseline.sensitivity.copies, config.baseline.adversarial_steps) == (0.5, 3, 30)


def test_a_preset_does_not_reach_another_method():
    assert "adversarial_weight" not in composed("dataset=cifar10", "baseline=finetune").baseline


@pytest.mark.parametrize(("dataset", "network"), [("digits", "convnet"), ("cifar10", "resnet18"), ("imagefolder", "resnet18")])
def test_the_dataset_chooses_network_and_recipe(dataset, network):
    config = composed(f"dataset={dataset}")
    assert config.network._target_ == f"dau_lightning.network.{network}"
    assert config.recipe == OmegaConf.load(CONF / "recipe" / f"{network}.yaml")


def test_the_command_line_chooses_the_network():
    config = composed("dataset=cifar10", "network=resnet9")
    assert config.network._target_ == "dau_lightning.network.resnet9"
    assert config.recipe == OmegaConf.load(CONF / "recipe" / "resnet9.yaml")


@pytest.mark.parametrize("dataset", ["fashion", "digits", "cifar10", "imagefolder"])  # those with presets
@pytest.mark.parametrize(
    ("request_", "wrong"),
    [
        (["scheme=corrupted"], True),
        (["scheme=corrupted", "scheme.wrong_labels=false"], False),
        (["scheme=indices", "scheme.wrong_labels=true"], True),
        (["scheme=indices"], False),
    ],
)
def test_a_request_about_wrong_labels_has_its_own_settings(dataset, request_, wrong):
    line = complete(f"dataset={dataset}", "baseline=dau", *request_)
    method = configuration(line)[0].baseline
    assert (method.epochs, method.adversarial_weight) == ((12, 0.00625) if wrong else (3, 0.05))
    chosen = configuration([*line, "baseline.epochs=2"])[0].baseline
    assert (chosen.epochs, chosen.adversarial_weight) == (2, method.adversarial_weight)
