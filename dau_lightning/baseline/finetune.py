"""FT (Warnecke et al. 2021; Golatkar et al. 2020): train on the retain set alone, so that the network forgets the rest."""

from dau_lightning.training.sgd import SGDMethod


class FineTune(SGDMethod):
    """SGD on the retain set from the original's weights, with the unchanged step of `SGDMethod`."""

    label = "FT"
