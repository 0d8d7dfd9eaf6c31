"""The one DataFrame that every table, page and figure is made from: a record for each model that a run measured.

Columns: `dataset, network, scheme, selection, sparsity, amount, method, kind, seed, run, source, counts, published, warnings,
flags, verdicts`, every number by its name in `columns.py`, `difference_UA`, ... (signed, to Retrain). For files:
`split_hash, shared_settings, method_settings` (hashes), `settings` (of the method, as texts), `machine, torch, MIA_lowest,
MIA_highest, AUC_error`.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from dau_lightning.baseline import TRAINED_BY_RECIPE
from dau_lightning.metric.disparity import COMPARED, disparity, gaps, time_ratio
from dau_lightning.report import comparable, published
from dau_lightning.report.columns import AUDIT, values_of
from dau_lightning.report.comparable import CELL, GROUP, REFERENCES
from dau_lightning.report.read import Run
from dau_lightning.storage.audit_file import figures
from dau_lightning.storage.seal import json_sha256

KIND = "._target_"  # ends the name of the setting that says what kind of object a part is
WORST = 100.0  # points; the place of a method without a number is after all others
DETAIL = "detail_"  # prefix of an audit's further numbers, which files of rows have and tables have not: `detail_rmia.error`


def rows_of(runs: Sequence[Run]) -> pd.DataFrame:
    """The rows of some runs, as `table_of` has them."""
    return table_of(records_of(runs))


def records_of(runs: Sequence[Run]) -> pd.DataFrame:
    """A row for each model of each run; a Retrain or original that several runs share has several."""
    rows = pd.DataFrame([record for run in _with_retrain(runs) for record in _records(*run)])
    return rows.assign(method=_methods(rows)) if len(rows) else rows


def table_of(rows: pd.DataFrame, seeds: Collection[int] | None = None) -> pd.DataFrame:
    """The rows in the order of the tables; a Retrain or original that several runs share has one row.

    Args:
        rows: of `records_of`, of files, or of both.
        seeds: restricts the rows to these seeds; None takes all.

    Raises:
        InputError: some rows cannot share a table, or a row lacks one of the seeds.
    """
    if seeds is not None:
        comparable.check_seeds(rows, seeds)
        rows = rows.loc[rows.seed.isin(seeds)]
    rows = rows.assign(method=_unambiguous(rows)) if len(rows) else rows
    comparable.check(rows)
    rows = in_order(rows.assign(missing=rows.isna().sum(axis=1)).sort_values("missing"))  # an audited Retrain comes first
    return rows.drop(columns="missing").drop_duplicates([*CELL, "method", "seed"]).reset_index(drop=True)


def in_order(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows in the order of the tables, with its key, `rank`: the first rows, then the methods by their mean disparity.

    Where a method has no disparity, its mean selection score takes the place.
    """
    places = {kind: place for place, kind in enumerate(TRAINED_BY_RECIPE)}
    distances = rows.reindex(columns=["disparity", "score"]).astype(float).bfill(axis=1).disparity
    means = distances.groupby([rows[name] for name in (*GROUP, "method")]).transform("mean")
    rows = rows.assign(rank=rows.kind.map(places).fillna(len(TRAINED_BY_RECIPE) + means.fillna(WORST)))
    return rows.sort_values(["selection", *GROUP, "amount", "sparsity", "rank", "method", "seed"], kind="stable")


def _with_retrain(runs: Sequence[Run]) -> list[tuple[Run, Mapping[str, Any] | None]]:
    """Each run with its Retrain, or that of another run with the same data, network, scheme, sparsity and seed."""
    cells = [(*run.names, run.sparsity, run.result["selection"], run.result["seed"]) for run in runs]
    own = [None if run.result["selection"] else run.result["rows"].get("retrain") for run in runs]
    shared = {cell: row for cell, row in zip(cells, own, strict=True) if row}
    return [(run, row or shared.get(cell)) for run, row, cell in zip(runs, own, cells, strict=True)]


def _records(run: Run, retrain: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The records of a run; `method` holds the label, which `_methods` replaces."""
    result = run.result
    about = {**dict(zip(("dataset", "network", "scheme"), run.names, strict=True)), "selection": int(result["selection"])}
    about |= {"sparsity": run.sparsity, "amount": run.amount, "seed": result["seed"], "run": run, "source": str(run.folder)}
    about |= {"counts": result["counts"], "warnings": result.get("warnings", []), "split_hash": result["split_hash"]}
    about |= {"shared_settings": _hash(comparable.shared(run.settings)), "machine": run.machine}
    about |= {"torch": result.get("versions", {}).get("torch")}
    records = []
    for kind, row in result["rows"].items():
        measured = values_of(row) | (_distances(row, retrain) if retrain else {})
        measured |= _audited(run, kind) | _errors(row)
        if not run.amount:
            measured.pop("zeros", None)
        own = {"method": row["label"], "kind": kind, "flags": row.get("flags", []), "published": published.name(run, kind)}
        own |= {"verdicts": _verdicts(run) if kind == result["baseline"] else {}}
        method = {} if kind in REFERENCES else run.method
        own |= {"method_settings": _hash(run.pruning | method), "settings": _told(method)}
        records.append(about | own | measured)
    return records


def _hash(settings: Mapping[str, str]) -> str:
    """Eight digits of the hash of settings, without those that are null: a new setting is null where it changes nothing."""
    return json_sha256({name: value for name, value in settings.items() if value != "null"})[:8]


def _told(settings: Mapping[str, str]) -> dict[str, str]:
    """The settings that say something to a reader: no class names, and none that are null."""
    return {name: value for name, value in settings.items() if value != "null" and not name.split(".")[-1].startswith("_")}


def _errors(row: Mapping[str, Any]) -> dict[str, float]:
    """How far the draws of the MIA are apart, and the standard error of the AUC, where the run has them."""
    lowest, highest = row.get("MIA_draws", {}).get("range", (None, None))
    found = {"MIA_lowest": lowest, "MIA_highest": highest, "AUC_error": row.get("AUC_error")}
    return {name: number for name, number in found.items() if number is not None}


def _audited(run: Run, kind: str) -> dict[str, float]:
    """The figures of a row's model in the audit of its run, by the names of their columns; empty without an audit."""
    own = "method" if kind == run.result["baseline"] else kind
    tests = (run.audit or {}).get("tests", {})
    found = {f"{AUDIT}{name}": figures(test).get(own) for name, test in tests.items()}
    found |= {f"{DETAIL}{name}.{key}": test.get(key) for name, test in tests.items() for key in ("noise", "tolerance")}
    for name, test in tests.items():
        details = test["figures"].get(own, {}).items()
        found |= {f"{DETAIL}{name}.{detail}": number for detail, number in details if detail != "value"}
    return {name: value for name, value in found.items() if value is not None}


def _verdicts(run: Run) -> dict[str, str]:
    """The verdicts on the run's method by test; empty without an audit."""
    return {name: test["verdict"] for name, test in (run.audit or {}).get("tests", {}).items()}


def _distances(row: Mapping[str, Any], retrain: Mapping[str, Any]) -> dict[str, float]:
    found = {f"difference_{column}": row[column] - retrain[column] for column in COMPARED}
    found |= {f"gap_{column}": gap for column, gap in gaps(row, retrain).items()}
    found |= {"disparity": disparity(row, retrain), **time_ratio(row, retrain)}
    if row.get("AUC") is not None and retrain.get("AUC") is not None:
        found["AUC_gap"] = abs(row["AUC"] - retrain["AUC"])
    return found | ({"speed_up": 1 / found["time_ratio"]} if found.get("time_ratio") else {})


def _methods(rows: pd.DataFrame) -> pd.Series:
    """The name of each row: its label, its kind where several kinds have this label, and the settings that vary under it.

    If a setting varies within one sparsity, the names in all sparsities have it: a method has the same name in each.
    """
    names = _unambiguous(rows)
    baselines = rows.run.map(lambda run: run.result["baseline"])
    for _, same in rows.loc[(rows.kind == baselines) & ~rows.kind.isin(REFERENCES)].groupby([*GROUP, "kind", "method"]):
        varied = {name for _, cell in same.groupby("sparsity") for name in _varied([run.method for run in cell.run])}
        for index, run in same.run.items():
            names[index] += "".join(f" {_setting(name, run.method.get(name, 'null'))}" for name in _present(varied, run.method))
    return names


def _unambiguous(rows: pd.DataFrame) -> pd.Series:
    """The name of each row, with its kind where several kinds have this name."""
    ambiguous = rows.groupby([*GROUP, "method"]).kind.transform("nunique") > 1
    return rows.method.where(~ambiguous, rows.method + " (" + rows.kind + ")")


def _varied(settings: Sequence[Mapping[str, str]]) -> set[str]:
    """The names of the settings that differ; of a part of several kinds, its kind and what differs within one kind."""
    varied = {name for each in settings for name, _ in each.items() ^ settings[0].items()}
    for part in {name.removesuffix(KIND) for name in varied if name.endswith(KIND)}:
        kinds = {each.get(part + KIND) for each in settings}
        alike = [[each for each in settings if each.get(part + KIND) == kind] for kind in kinds]
        varied -= {name for name in varied if name.startswith(f"{part}.")} - {part + KIND}.union(*map(_varied, alike))
    return varied


def _present(varied: Iterable[str], settings: Mapping[str, str]) -> list[str]:
    """The varied names but those of a part whose kind in these settings has no such setting."""
    parts = tuple(f"{name.removesuffix(KIND)}." for name in varied if name.endswith(KIND))
    return sorted(name for name in varied if name in settings or not name.startswith(parts))


def _setting(name: str, value: str) -> str:
    """A setting as typed; of a part's kind, the last name alone: `attacker=ExactCritic`."""
    return f"{name.removesuffix(KIND)}={value.rsplit('.', 1)[-1]}" if name.endswith(KIND) else f"{name}={value}"
