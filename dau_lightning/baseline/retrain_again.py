"""The noise floor: Retrain once more, with another initialisation and other batches."""

from dau_lightning.training.sgd import SGDMethod


class RetrainAgain(SGDMethod):
    """SGD on the retain set from random weights, other ones than Retrain's."""

    label = "Retrain 2"
    phase = "retrain_again"
    from_scratch = True
