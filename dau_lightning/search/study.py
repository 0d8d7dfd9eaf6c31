"""One search: trials of Optuna, each the mean selection score of a method over seeds that no table uses."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import optuna
from optuna import Study, Trial
from optuna.storages import RDBStorage
from optuna.study import MaxTrialsCallback
from optuna.trial import TrialState

from dau_lightning.base.error import TrainingError
from dau_lightning.search.space import suggested

FIRST_SEED = 100  # tables use 0 to 4
WORST = 100.0  # the score of a training that diverged, in points


@dataclass(frozen=True)
class Search:
    """A search.

    Attributes:
        ranges: see `space.suggested`.
        seeds: number of seeds of a trial.
        score: the selection score, in points, of values of the ranges with a seed; it may raise a `TrainingError`.
    """

    ranges: Mapping[str, Any]
    seeds: int
    score: Callable[[Mapping[str, Any], int], float]

    def objective(self, trial: Trial) -> float:
        """The mean over seeds; a trial whose mean so far is above the median of the others is given up early."""
        values, scores = suggested(trial, self.ranges), list[float]()
        for step in range(self.seeds):
            try:
                scores.append(self.score(values, FIRST_SEED + step))
            except TrainingError as error:
                print(f"trial {trial.number}: {error}")
                return WORST
            trial.report(fmean(scores), step)
            if step + 1 < self.seeds and trial.should_prune():
                raise optuna.TrialPruned
        return fmean(scores)

    def run(self, file: Path, name: str, trials: int) -> Study:
        """Go on until the study has as many finished trials, with those of other processes and of earlier calls.

        A trial of a killed process does not count; another one takes its place.

        Args:
            file: of the database (SQLite), which several processes may share.
            name: of the study in it.
            trials: number of trials, pruned ones among them.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        storage = RDBStorage(f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": 60}})
        study = optuna.create_study(
            study_name=name,
            storage=storage,
            load_if_exists=True,
            sampler=optuna.samplers.TPESampler(constant_liar=True),  # without a seed: processes with one would draw the same
            pruner=optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=1),
        )
        done = TrialState.COMPLETE, TrialState.PRUNED
        if len(study.get_trials(deepcopy=False, states=done)) < trials:
            study.optimize(self.objective, callbacks=[MaxTrialsCallback(trials, states=done)])
        return study


def best(study: Study, count: int = 5) -> Sequence[optuna.trial.FrozenTrial]:
    """The complete trials with the lowest scores."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return sorted(complete, key=lambda trial: trial.value if trial.value is not None else WORST)[:count]
