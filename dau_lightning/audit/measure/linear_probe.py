"""Linear probe: can a linear classifier on the frozen features still sort the forgotten images into their classes?"""

from typing import Any

import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from dau_lightning.audit.base import AuditTest
from dau_lightning.audit.case import Case
from dau_lightning.audit.figure import Figure, mean_figure, require_enough


class LinearProbe(AuditTest):
    """Accuracy, in percent, on half of `D_f`, of a logistic regression fitted on features of `D_r` and of the other half.

    Args:
        most: retain images to fit on, drawn at random.
        settings: see `AuditTest`.
    """

    better = "low"

    def __init__(self, *, most: int, **settings: Any) -> None:
        super().__init__(**settings)
        self.most = most

    def measure(self, case: Case, kind: str) -> Figure:
        """See `AuditTest.measure`."""
        draws = case.draws("linear probe")
        retain = torch.randperm(len(case.part("retain")), generator=draws)[: self.most]
        forget = torch.randperm(len(case.part("forget")), generator=draws)
        half = len(forget) // 2
        require_enough(half, "images in half of the forget set, on which the probe is scored")
        fitted, scored = forget[:half], forget[half:]
        features = {part: case.outputs(kind, part).features for part in ("retain", "forget")}
        targets = {part: case.part(part).targets for part in ("retain", "forget")}
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
        probe.fit(
            torch.cat([features["retain"][retain], features["forget"][fitted]]).double().numpy(),
            torch.cat([targets["retain"][retain], targets["forget"][fitted]]).numpy(),
        )
        answers = probe.predict(features["forget"][scored].double().numpy())
        return mean_figure(100 * (answers == targets["forget"][scored].numpy()))
