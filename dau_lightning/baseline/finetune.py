"""FT (Warnecke et al. 2021; Golatkar et al. 2020): train on the retain set and let the rest be forgotten."""

from dau_lightning.training.sgd import SGDMethod


class FineTune(SGDMethod):
    """SGDMethod on the retain set from the original's weights: the step of `SGDMethod` as it stands."""

    label = "FT"
