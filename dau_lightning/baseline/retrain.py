"""The reference: trained from scratch on `D_r` by the original's recipe, as if `D_f` had never been there."""

from dau_lightning.training.sgd import SGDMethod


class Retrain(SGDMethod):
    """SGD on the retain set from random weights."""

    label = "Retrain"
    phase = "retrain"
    from_scratch = True
