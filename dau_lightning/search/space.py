"""Draws settings from the ranges of a search, which stand in `conf/search/METHOD.yaml`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dau_lightning.base.error import InputError

if TYPE_CHECKING:
    from optuna import Trial


def suggested(trial: "Trial", ranges: Mapping[str, Any]) -> dict[str, Any]:
    """A value for each setting of the method.

    Args:
        trial: Optuna's trial, which chooses the values.
        ranges: for each setting's name a list of choices, or bounds such as `{low: 0.01, high: 0.5, log: true}`, which `limits`
            accepts. Between two integers the values are integers.
    """
    return {name: _suggested(trial, name, values) for name, values in ranges.items()}


def _suggested(trial: "Trial", name: str, values: Any) -> Any:
    if isinstance(values, list):
        return trial.suggest_categorical(name, values)
    low, high, log = values["low"], values["high"], values.get("log", False)
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(name, low, high, log=log)
    return trial.suggest_float(name, float(low), float(high), log=log)


def limits(ranges: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The choices of each setting, or the two ends of its range.

    Raises:
        InputError: a range has neither form, or its low is above its high, or a logarithmic one has no low above 0.

    >>> limits({"lr": {"low": 0.01, "high": 0.5, "log": True}, "epochs": [2, 5]})
    {'lr': [0.01, 0.5], 'epochs': [2, 5]}
    """
    return {name: values if isinstance(values, list) and values else _ends(name, values) for name, values in ranges.items()}


def _ends(name: str, values: Any) -> list[Any]:
    if not isinstance(values, Mapping) or not {"low", "high"} <= values.keys() <= {"low", "high", "log"}:
        raise InputError(f"search.{name} must be a list of choices or {{low, high, log}}, got {values!r}")
    low, high, log = values["low"], values["high"], values.get("log", False)
    numbers = all(type(end) in (int, float) for end in (low, high))
    if not numbers or not low <= high or (log and low <= 0):
        bounds = "numbers above 0" if log else "numbers"
        raise InputError(f"search.{name} must have {bounds} with a low that is not above its high, got {low} and {high}")
    return [low, high]


def described(ranges: Mapping[str, Any]) -> str:
    """The ranges as one line of text.

    >>> described({"lr": {"low": 0.01, "high": 0.5, "log": True}, "epochs": [2, 5]})
    'lr 0.01 to 0.5 (log), epochs 2 or 5'
    """
    words = {
        name: " or ".join(map(str, values))
        if isinstance(values, list)
        else f"{values['low']:g} to {values['high']:g}{' (log)' if values.get('log') else ''}"
        for name, values in ranges.items()
    }
    return ", ".join(f"{name} {text}" for name, text in words.items())
