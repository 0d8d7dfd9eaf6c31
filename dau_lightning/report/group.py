"""Runs to groups of rows: what stands beside what, under which name; what cannot share a table is refused."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence

from dau_lightning.base.error import InputError
from dau_lightning.metric.disparity import COLUMNS
from dau_lightning.report import published
from dau_lightning.report.read import Run
from dau_lightning.report.rows import Group, Line, Row, Spread, spreads

Cells = Mapping[str, Sequence[Run]]  # by sparsity
Found = dict[int, tuple[Run, Row]]  # a row and the run it stands in, by seed
Key = tuple[str, str]  # name and kind of a row
REFERENCES = ("retrain", "original")  # stand in the runs of every method


def groups(runs: Iterable[Run], seeds: Sequence[int] | None = None) -> list[Group]:
    """The rows over seeds of finished runs.

    Runs of one method with different settings are rows of their own, named by what differs.

    Args:
        runs: finished ones.
        seeds: to which the rows are restricted; None takes all.

    Raises:
        InputError: runs that cannot share a table; a row without some of the seeds; no run with one of them.
    """
    members: dict[tuple[bool, str, str, str], list[Run]] = defaultdict(list)
    for run in runs:
        members[run.selection, *run.names].append(run)
    made = [_group(beside, seeds) for _, beside in sorted(members.items())]
    if not (made := [group for group in made if group.cells]):
        raise InputError(f"--seeds must name seeds of finished runs, got {_listed(seeds or ())}")
    return made


def _group(runs: Sequence[Run], wanted: Sequence[int] | None) -> Group:
    cells: dict[str, list[Run]] = defaultdict(list)
    for run in sorted(runs, key=lambda run: (run.amount, run.sparsity)):
        cells[run.sparsity].append(run)
    names, selection, named = runs[0].names, runs[0].selection, _namer(cells)
    kept = {sparsity: [run for run in beside if wanted is None or run.seed in wanted] for sparsity, beside in cells.items()}
    _check_splits(all_kept := [run for beside in kept.values() for run in beside])
    _check_same(all_kept, lambda run: run.surroundings)  # dense beside sparse, too
    for beside in kept.values():
        _check_same(beside, lambda run: run.pruning)
    if not selection:  # a grid is searched with whatever seeds
        _check_seeds(cells, named, wanted, ", ".join(names))
    lines = {sparsity: _lines(beside, named) for sparsity, beside in kept.items() if beside}
    warned: dict[str, list[int]] = defaultdict(list)
    for seed, warning in sorted({(run.seed, warning) for run in all_kept for warning in run.result.get("warnings", ())}):
        warned[warning].append(seed)
    return Group(names, selection, lines, warned)


def _lines(runs: Sequence[Run], named: Callable[[Run, str], str]) -> dict[str, Line]:
    """The rows of one cell by name."""
    rows = _found(runs, named)
    retrain = next((by_seed for (_, kind), by_seed in rows.items() if kind == "retrain"), {})
    reference = {seed: row for seed, (_, row) in retrain.items()}
    return {name: _line(name, kind, dict(sorted(by_seed.items())), reference) for (name, kind), by_seed in rows.items()}


def _line(name: str, kind: str, found: Found, retrain: Mapping[int, Row]) -> Line:
    """A row over seeds, against the Retrain of its own run where there is one, else of another run; and the paper's."""
    own = {seed: run.result["rows"]["retrain"] for seed, (run, _) in found.items() if "retrain" in run.result["rows"]}
    numbers = spreads({seed: row for seed, (_, row) in found.items()}, {**retrain, **own})
    run, _ = next(iter(found.values()))
    if not run.amount:
        numbers.pop("zeros", None)
    if not run.selection and (rows := published.cell(run.result, run.sparsity)):
        paper = published.numbers(rows, published.printed_kind(run.result, run.sparsity, kind))
        numbers |= {f"paper {column}": Spread(*number) for column, number in paper.items()}
    flagged: dict[str, list[int]] = defaultdict(list)
    for seed, (_, row) in found.items():
        for flag in row.get("flags", ()):
            flagged[flag].append(seed)
    return Line(name, kind, tuple(found), numbers, flagged)


def _namer(cells: Cells) -> Callable[[Run, str], str]:
    """Names rows by their label, by the settings that runs of one method differ in, and by the method where labels are one."""
    varied: dict[str, set[str]] = defaultdict(set)  # in any sparsity, so that rows beside each other have one name
    kinds: dict[str, set[str]] = defaultdict(set)
    for beside in cells.values():
        first: dict[str, Run] = {}
        for run in beside:
            differing = run.method.items() ^ first.setdefault(run.baseline, run).method.items()
            varied[run.baseline] |= {key for key, _ in differing}
            for kind, row in run.result["rows"].items():
                kinds[row["label"]].add(kind)

    def name(run: Run, kind: str) -> str:
        label = run.result["rows"][kind]["label"]
        method = [f"({kind})"] if len(kinds[label]) > 1 else []
        keys = sorted(varied[kind]) if kind == run.baseline and kind not in REFERENCES else []
        return " ".join([label, *method, *(f"{key}={run.method.get(key)}" for key in keys)])

    return name


def _check_splits(runs: Sequence[Run]) -> None:
    first: dict[int, Run] = {}
    for run in runs:
        other = first.setdefault(run.seed, run)
        if run.result["split_hash"] != other.result["split_hash"]:
            raise InputError(
                f"{run.folder} and {other.folder} have one seed and different splits: they cannot share a table; "
                "give the folders of each split to a report of its own"
            )


def _check_same(runs: Sequence[Run], settings: Callable[[Run], Mapping[str, str]]) -> None:
    """What the hash of a split cannot tell of runs with different seeds."""
    for run in runs:
        ours = settings(runs[0])
        for name, value in settings(run).items():
            if ours.get(name, value) != value:
                raise InputError(
                    f"{runs[0].folder} and {run.folder} have {name}={ours[name]} and {name}={value}: they cannot share a table"
                )


def _found(runs: Sequence[Run], named: Callable[[Run, str], str]) -> dict[Key, Found]:
    """AttackerInputs of one cell by name and seed; the same original and Retrain stand in the runs of every method."""
    rows: dict[Key, Found] = defaultdict(dict)
    for run in runs:
        for kind, row in run.result["rows"].items():
            name = named(run, kind)
            other, before = rows[name, kind].setdefault(run.seed, (run, row))
            if other is not run and kind not in REFERENCES:
                pair = f"{run.folder} and {other.folder}"
                raise InputError(f"{pair} are two runs of {name} with seed {run.seed}: give one of them")
            if any(before.get(column) != row.get(column) for column in COLUMNS):
                raise InputError(
                    f"{name} with seed {run.seed} has other numbers in {run.folder} than in {other.folder}: "
                    "recipe, network or precision differ; give runs of one recipe"
                )
    return rows


def _check_seeds(cells: Cells, named: Callable[[Run, str], str], wanted: Sequence[int] | None, names: str) -> None:
    """Means over different seeds are no comparison."""
    seeds: dict[tuple[str, str], set[int]] = defaultdict(set)
    for sparsity, beside in cells.items():
        for run in beside:
            for kind in run.result["rows"]:
                seeds[named(run, kind), sparsity].add(run.seed)
    shared = set.intersection(*seeds.values())
    for (name, sparsity), own in seeds.items():
        if missing := (set().union(*seeds.values()) if wanted is None else set(wanted)) - own:
            advice = f"or give --seeds {_listed(shared)}, which all have" if shared else "or give folders with the same seeds"
            raise InputError(f"{name} of {names}, {sparsity}, misses seed {_listed(missing)}: run it, {advice}")


def _listed(seeds: Iterable[int]) -> str:
    return ",".join(map(str, sorted(seeds)))
