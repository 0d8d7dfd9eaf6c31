"""Rows of Retrain and the original are evaluated once for all runs, by the real entry point."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dau_lightning.evaluation import row_store
from dau_lightning.evaluation.evaluator import Evaluator
from dau_lightning.network.defender import Defender
from tests.tiny import TINY, results

FINETUNE = [*TINY, "baseline=finetune", "baseline.epochs=1"]
GRADIENT_ASCENT = [*TINY, "baseline=gradient_ascent", "baseline.epochs=1"]


@pytest.fixture
def evaluated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The labels of the modules that are evaluated, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    labels, row = list[str](), Evaluator.row

    def noting(self: Evaluator, module: object) -> dict[str, object]:
        labels.append(str(getattr(module, "label", "")))
        return row(self, module)  # type: ignore[arg-type]

    monkeypatch.setattr(Evaluator, "row", noting)
    return labels


def numbers(kind: str) -> list[dict[str, object]]:
    """The row of a kind in every run, without its run time."""
    rows = [result["rows"][kind] for result in results().values()]
    return [{name: value for name, value in row.items() if name != "flags"} for row in rows]


def test_a_second_run_evaluates_its_method_alone(run: Callable[..., str], evaluated: list[str]) -> None:
    run(*FINETUNE)
    assert evaluated == ["Retrain", "Original", "FT"]
    run(*GRADIENT_ASCENT)
    assert evaluated == ["Retrain", "Original", "FT", "GA"]
    for kind in ("retrain", "original"):
        first, second = numbers(kind)
        assert first == second
    fresh = Path("elsewhere")
    run(*GRADIENT_ASCENT, f"store.root={fresh}", f"hydra.run.dir={fresh}/run")
    assert evaluated[4:] == ["Retrain", "Original", "GA"]
    stored = {path.name: path.read_text() for path in Path("store/rows").glob("*.json")}
    assert stored == {path.name: path.read_text() for path in (fresh / "rows").glob("*.json")}


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [["metric.entropy.resolution=0.01"], ["scheme.fraction=0.2"], ["seed=1"], ["selection=true"], ["transform.mean=[0.4]"]],
)
def test_other_settings_and_other_splits_are_evaluated(
    run: Callable[..., str], evaluated: list[str], change: list[str]
) -> None:
    run(*FINETUNE)
    evaluated.clear()
    run(*GRADIENT_ASCENT, *change)
    assert "Original" in evaluated


def test_a_network_with_other_outputs_is_evaluated(
    run: Callable[..., str], evaluated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*FINETUNE)
    evaluated.clear()
    forward = Defender.forward
    monkeypatch.setattr(
        Defender, "forward", lambda *inputs: tuple(2 * output for output in forward(*inputs))
    )  # of the same weights
    run(*GRADIENT_ASCENT)
    assert evaluated == ["Retrain", "Original", "GA"]


def test_changed_code_and_damaged_rows_are_evaluated(
    run: Callable[..., str], evaluated: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    run(*FINETUNE)
    damaged = next(Path("store/rows").glob("*.json"))
    row = json.loads(damaged.read_text())
    damaged.write_text(json.dumps(row | {"UA": row["UA"] + 1}))
    evaluated.clear()
    with pytest.warns(UserWarning, match="set aside"):
        run(*GRADIENT_ASCENT)
    assert len(evaluated) == 2
    monkeypatch.setattr(row_store, "VERSION", 0)
    evaluated.clear()
    run(*GRADIENT_ASCENT, "overwrite=true")
    assert evaluated == ["Retrain", "Original", "GA"]
