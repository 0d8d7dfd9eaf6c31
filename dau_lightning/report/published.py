"""The paper's numbers (arXiv 2402.06864, Tables 1 and 2) for rows with the paper's settings.

The paper's settings are what the configuration has by itself: `conf/recipe/resnet18.yaml`, the groups `scheme`, `sparsity` and
`baseline`, and over them `conf/tuned/` and `conf/paper/`. Cells that are damaged or missing in the text are empty. The paper
prints run times once a method; they stand with the dense rows.
"""

from functools import cache
from importlib.resources import files
from typing import Any

import pandas as pd
from omegaconf import OmegaConf

from dau_lightning.base.config_folder import CONFIG_FOLDER
from dau_lightning.metric.disparity import COMPARED
from dau_lightning.report.comparable import REFERENCES
from dau_lightning.report.read import Run, texts

CELL = ["dataset", "scheme", "sparsity"]
UNPRINTED = {"scheme.target"}  # which class the paper forgets
SPARSITIES = {"dense": "dense", "95% sparse": "omp95"}  # in words, and by choice
BESIDE = (
    "The paper's numbers are those of another setting, {dataset} from its official archive, ResNet-18, 182 epochs: compare the "
    "order of the methods and the size of their gaps, not the values."
)
PRESETS = "tuned/{dataset}-{baseline}-{scheme}-{sparsity}.yaml", "paper/{baseline}-{scheme}-{sparsity}.yaml"


@cache
def paper_rows() -> pd.DataFrame:
    """The paper's rows by name, such as `cifar10-dau_paper-random-dense`.

    `paper_disparity` is computed from the printed means; `printed_disparity` differs from it in some rows.
    """
    with (files("dau_lightning.report") / "published.csv").open() as file:
        rows = pd.read_csv(file)
    retrain = rows[CELL].merge(rows.loc[rows.kind == "retrain"], on=CELL)
    means = [f"paper_{column}_mean" for column in COMPARED]
    rows["paper_disparity"] = (rows[means] - retrain[means]).abs().mean(axis=1, skipna=False)
    rows["paper_speed_up"] = retrain.paper_minutes / rows.paper_minutes
    return rows.set_axis(rows[["dataset", "kind", "scheme", "sparsity"]].agg("-".join, axis=1))


def name(run: Run, kind: str) -> str | None:
    """The name of the paper's row for a row of a run; None where there is none or a setting is not the paper's."""
    dataset, scheme, sparsity = (run.result[group] for group in CELL)
    row = f"{dataset}-{kind}-{scheme}-{sparsity}"
    limited = any(run.settings.get(f"dataset.{part}_limit", "null") != "null" for part in ("train", "test"))
    if row not in paper_rows().index or run.result["network"] != "resnet18" or run.result["selection"] or limited:
        return None
    compared = ("recipe.", "scheme.", "sparsity.", *(() if kind in REFERENCES else ("baseline.",)))
    expected = _expected(dataset, kind, scheme, sparsity)
    different = {setting for setting, _ in run.settings.items() ^ expected.items() if setting.startswith(compared)} - UNPRINTED
    if kind == "gradient_ascent" and not (CONFIG_FOLDER / "tuned" / f"{row}.yaml").exists():
        different -= {"baseline.lr"}  # from a grid; the paper does not print which it took
    if kind == "dau_paper" and _no_regulariser(run.settings):
        different = {setting for setting in different if not setting.startswith("baseline.regulariser")}
        row = row.replace("-dau_paper-", "-dau_without_regulariser-")  # of Table 2
    return row if row in paper_rows().index and not different else None


def beside(rows: pd.DataFrame, dataset: str) -> pd.DataFrame:
    """Rows of any setting beside the paper's rows of the same method, scheme and sparsity on one of its data sets.

    Args:
        rows: of `table_of`.
        dataset: the paper's, such as `cifar10`.

    Returns:
        The rows with names of the paper's rows in `published` also where a setting is not the paper's, and `BESIDE` for these
        rows in the column `beside`.
    """
    names = f"{dataset}-" + rows.kind + "-" + rows.scheme + "-" + rows.sparsity.map(SPARSITIES)
    borrowed = names.isin(paper_rows().index) & rows.published.isna() & (rows.selection == 0)
    note = BESIDE.format(dataset=dataset)
    return rows.assign(published=rows.published.mask(borrowed, names), beside=borrowed.map({True: note, False: None}))


def _no_regulariser(settings: dict[str, str]) -> bool:
    weight, target = settings["baseline.regulariser_weight"], settings["baseline.regulariser._target_"]
    return float(weight) == 0 or target == _yaml("baseline", "regulariser", "none")["_target_"]


@cache
def _expected(dataset: str, baseline: str, scheme: str, sparsity: str) -> dict[str, str]:
    """The settings that the configuration has by itself, by dotted name as in `Run.settings`."""
    method = _yaml("baseline", baseline)
    for part in method.pop("defaults", []):  # {"attacker": "transformer"}, {"term": []}, "_self_"
        method |= {} if part == "_self_" else {group: _yaml("baseline", group, name) for group, name in part.items() if name}
    groups = {"recipe": _yaml("recipe", "resnet18"), "scheme": _yaml("scheme", scheme), "sparsity": _yaml("sparsity", sparsity)}
    names = {"dataset": dataset, "baseline": baseline, "scheme": scheme, "sparsity": sparsity}
    presets = [path for preset in PRESETS if (path := CONFIG_FOLDER / preset.format(**names)).exists()]
    merged = OmegaConf.merge(groups, {"baseline": method}, *map(OmegaConf.load, presets))
    return texts(OmegaConf.to_container(merged))  # pyright: ignore[reportArgumentType]


def _yaml(*path: str) -> Any:
    return OmegaConf.to_container(OmegaConf.load(CONFIG_FOLDER.joinpath(*path).with_suffix(".yaml")))
