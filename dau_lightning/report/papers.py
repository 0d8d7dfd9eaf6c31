"""The papers of the methods, which the page of a sweep links; `papers.csv` has those of the README."""

from importlib.resources import files

import pandas as pd


def papers_of(rows: pd.DataFrame) -> dict[str, list[tuple[str, str]]]:
    """For each method of some rows, in their order, text and address of its papers; methods without a paper are left out."""
    with (files("dau_lightning.report") / "papers.csv").open() as file:
        papers = pd.read_csv(file)
    found = rows[["method", "kind"]].drop_duplicates().merge(papers, on="kind")
    return {str(name): list(zip(group.paper, group.url, strict=True)) for name, group in found.groupby("method", sort=False)}
