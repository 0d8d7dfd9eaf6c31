"""What the audits of the seeds say together: for each method and test how many seeds pass and fail."""

from collections import Counter

import pandas as pd

from dau_lightning.storage.audit_file import FAIL, PASS


def verdict_lines(rows: pd.DataFrame) -> list[str]:
    """A line for each audited method and sparsity, such as `DAU, audit, pass-fail of 5 seeds: rmia 4-0, tow 3-2`.

    Seeds that are neither have not enough data for the test. A test that no seed has enough data for is left out.

    Args:
        rows: of `rows_of`.
    """
    audited = rows.loc[rows.verdicts.map(bool)]
    lines = []
    for (method, sparsity), same in audited.groupby(["method", "sparsity"], sort=False):
        counts = {test: Counter(verdicts.get(test) for verdicts in same.verdicts) for test in _tests(same)}
        said = [f"{test} {found[PASS]}-{found[FAIL]}" for test, found in counts.items() if found[PASS] or found[FAIL]]
        name = f"{method}, {sparsity}" if rows.sparsity.nunique() > 1 else method
        seeds = f"{len(same)} seed{'s' * (len(same) > 1)}"
        lines.append(f"{name}, audit, pass-fail of {seeds}: {', '.join(said) or 'no test has enough data'}.")
    return lines


def _tests(rows: pd.DataFrame) -> list[str]:
    return list(dict.fromkeys(test for verdicts in rows.verdicts for test in verdicts))
