"""One search by Optuna: the value of a trial is the method's mean selection score over seeds that no table uses."""

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

from dau_lightning.base.error import TrainingError, require
from dau_lightning.search.space import suggested
from dau_lightning.storage.atomic import locked

FIRST_SEED = 100  # tables use 0 to 4
WORST = 100.0  # the score of a training that diverged, in points


@dataclass(frozen=True)
class Search:
    """What to search, and how to score it.

    Attributes:
        ranges: the range of each setting, see `space.suggested`.
        seeds: number of seeds in a trial.
        score: runs the method with some values of the settings and a seed, and returns the selection score in points; it may
            raise a `TrainingError`.
    """

    ranges: Mapping[str, Any]
    seeds: int
    score: Callable[[Mapping[str, Any], int], float]

    def objective(self, trial: Trial) -> float:
        """The mean score over the seeds; a trial stops early where its mean is not in the better half, see `run`."""
        values, scores = suggested(trial, self.ranges), list[float]()
        for step in range(self.seeds):
            try:
                scores.append(self.score(values, FIRST_SEED + step))
            except TrainingError as error:
                print(f"trial {trial.number}: {error}")
                return WORST
            trial.report(fmean(scores), step + 1)
            if step + 1 < self.seeds and trial.should_prune():
                raise optuna.TrialPruned
        return fmean(scores)

    def run(self, file: Path, name: str, trials: int) -> Study:
        """Run trials until the study has `trials` finished ones, including those of other processes and of earlier calls.

        After two seeds, and again after four, half of the trials stop (successive halving, Jamieson & Talwalkar 2016), so that
        the seeds are spent on settings that are worth it. A trial of a killed process does not count; another one takes its
        place.

        Args:
            file: the SQLite database, which several processes may share.
            name: the name of the study in the database.
            trials: number of trials; those that stopped early count.

        Raises:
            InputError: every trial diverged.
        """
        file.parent.mkdir(parents=True, exist_ok=True)
        with locked(file.with_suffix(".lock"), f"which creates {file.name}"):  # two that create its tables at once would fail
            study = optuna.create_study(
                study_name=name,
                storage=RDBStorage(f"sqlite:///{file}", engine_kwargs={"connect_args": {"timeout": 60}}),
                load_if_exists=True,
                sampler=optuna.samplers.TPESampler(constant_liar=True),  # no seed: with one, all processes would draw the same
                pruner=optuna.pruners.SuccessiveHalvingPruner(min_resource=2, reduction_factor=2),
            )
        done = TrialState.COMPLETE, TrialState.PRUNED
        if len(study.get_trials(deepcopy=False, states=done)) < trials:
            study.optimize(self.objective, callbacks=[MaxTrialsCallback(trials, states=done)])
        trained = any(trial.value != WORST for trial in best(study))
        require(trained, "every trial of the search diverged: give ranges with lower rates")
        return study


def best(study: Study, count: int = 5) -> Sequence[optuna.trial.FrozenTrial]:
    """The complete trials with the lowest scores."""
    complete = study.get_trials(deepcopy=False, states=[TrialState.COMPLETE])
    return sorted(complete, key=lambda trial: trial.value if trial.value is not None else WORST)[:count]
