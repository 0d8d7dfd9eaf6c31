"""A file imports only from earlier ones, and what comes in many has one name in conf/, dau_lightning/ and tests/."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dau_lightning"
ORDER = [
    "base",
    "storage",
    "dataset",
    "scheme",
    "data",
    "network",
    "sparsity",
    "metric",
    "training",
    "baseline",
    "losses",
    "game",
    "dau",
    "evaluation",
    "tracking",
    "report",
    "run",
    "workspace",
    "api",
]


def imported(path: Path) -> set[str]:
    """First-level modules of the package that a file imports."""
    modules = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("dau_lightning."):
            modules.add(node.module.split(".")[1])
        elif isinstance(node, ast.ImportFrom) and node.module == "dau_lightning":
            modules |= {alias.name for alias in node.names}
    return modules


def files() -> list[Path]:
    return [path for path in sorted(PACKAGE.rglob("*.py")) if path != PACKAGE / "__init__.py"]


def room(path: Path) -> str:
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def test_every_file_stands_in_the_order():
    assert {room(path) for path in files()} == set(ORDER)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_file_imports_only_from_earlier_ones(path):
    own = ORDER.index(room(path))
    assert all(ORDER.index(name) <= own for name in imported(path))


def test_nothing_imports_dau():
    assert not [path for path in files() if "dau" in imported(path)]


@pytest.mark.parametrize("group", ["dataset", "scheme", "network", "baseline", "baseline/term"])
def test_what_comes_in_many_has_one_name(group):
    choices = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} - {"dau", "own"}  # the method exists once
    folder = {"term": "game/extra_loss"}.get(group.rpartition("/")[2], group)
    for name in choices:
        assert (PACKAGE / folder / f"{name}.py").is_file()
        assert (ROOT / "tests" / folder / f"test_{name}.py").is_file()


@pytest.mark.parametrize("group", ["attacker", "penalty", "objective", "regulariser", "term"])
def test_a_part_of_the_game_stands_in_the_room_of_its_name(group):
    choices = sorted((ROOT / "conf" / "baseline" / group).glob("*.yaml"))
    assert choices
    for path in choices:
        assert f"_target_: dau_lightning.game.{ {'term': 'extra_loss'}.get(group, group) }." in path.read_text()


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_its_idea(path):
    assert ast.get_docstring(ast.parse(path.read_text()))
