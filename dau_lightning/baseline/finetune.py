"""FT (Warnecke et al. 2021; Golatkar et al. 2020): train on the retain set alone, and forget what it does not need."""

from dau_lightning.training.sgd import SGDMethod


class FineTune(SGDMethod):
    """SGD on the retain set from the original's weights: the step of `SGDMethod` as it is."""

    label = "FT"
