"""A file imports only from earlier ones, and what comes in many has one name in conf/, dau_lightning/ and tests/."""

import ast
import tomllib
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "dau_lightning"
ORDER = [
    "base",
    "storage",
    "dataset",
    "corruption",
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
    "search",
    "audit",
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


@pytest.mark.parametrize("group", ["dataset", "corruption", "scheme", "network", "baseline", "baseline/term"])
def test_what_comes_in_many_has_one_name(group):
    once = {"dau", "dau_paper", "own", "none"}  # the method exists once; none has no code
    choices = {path.stem for path in (ROOT / "conf" / group).glob("*.yaml")} - once
    folder = {"term": "game/extra_loss"}.get(group.rpartition("/")[2], group)
    for name in choices:
        assert (PACKAGE / folder / f"{name}.py").is_file()
        assert (ROOT / "tests" / folder / f"test_{name}.py").is_file()


@pytest.mark.parametrize("group", ["attacker", "penalty", "objective", "regulariser", "term"])
def test_a_part_of_the_game_stands_in_the_room_of_its_name(group):
    choices = sorted((ROOT / "conf" / "baseline" / group).glob("*.yaml"))
    assert choices
    own_room = {"exact": "exact_critic", "logistic": "logistic_attacker", "mean_prediction": "mean_prediction"}  # no networks
    for path in choices:
        room = {"term": "extra_loss"}.get(group) or own_room.get(path.stem, group)
        target = path if "_target_" in path.read_text() else path.with_stem("transformer")  # a smaller one
        assert f"_target_: dau_lightning.game.{room}." in target.read_text()


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_every_file_says_its_idea(path):
    assert ast.get_docstring(ast.parse(path.read_text()))


def private(name: str) -> bool:
    """Whether a name begins with an underscore; ``__version__`` and OmegaConf's ``_root_`` are public all the same."""
    return name.startswith("_") and not name.endswith("_")


def imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def definitions(tree: ast.AST) -> Iterator[str]:
    """Functions, classes, variables, fields and attributes of `self`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield node.attr


def uses(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """Attributes, keywords, and names that `getattr` and its like are given; each with the expression that it stands in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute):
            yield node.attr, ast.unparse(node)
        elif isinstance(node, ast.Call):
            yield from ((keyword.arg, ast.unparse(node)) for keyword in node.keywords if keyword.arg)
            if ast.unparse(node.func) in ("getattr", "setattr", "hasattr", "delattr"):
                yield from ((str(name.value), ast.unparse(node)) for name in node.args[1:2] if isinstance(name, ast.Constant))


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_private_name_of_another_package_is_used(path):
    tree = ast.parse(path.read_text())
    own = {*definitions(tree), "_exit"}  # Python documents os._exit
    found = [name for name in imports(tree) if any(map(private, name.split(".")))]
    assert not [*found, *(where for name, where in uses(tree) if private(name) and name not in own)]


@pytest.mark.parametrize(("folder", "most"), [("dau_lightning", 200), ("tests", 400)])
def test_no_file_is_long(folder, most):
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in (ROOT / folder).rglob("*.py")}
    long = [f"{name}: {length} lines" for name, length in sorted(lengths.items()) if length > most]
    assert not long, f"more than {most} lines:\n" + "\n".join(long)


def length(function: ast.FunctionDef) -> int:
    """Lines without the docstring."""
    docstring = function.body[0] if ast.get_docstring(function) else None
    lines = function.end_lineno - function.lineno + 1
    return lines - (docstring.end_lineno - docstring.lineno + 1 if docstring else 0)


@pytest.mark.parametrize("path", files(), ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_function_has_more_than_40_lines(path):
    functions = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef)]
    assert not {function.name: length(function) for function in functions if length(function) > 40}


def test_runs_record_the_version_of_pyproject():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert version("dau-lightning") == declared, "run make install, and remove an old dau_lightning.egg-info"
