"""The model before unlearning: trained from scratch on all of `D` by the recipe; the last epoch's weights count."""

from dau_lightning.training.sgd import SGDMethod


class Original(SGDMethod):
    """SGD on all of `D` from random weights."""

    label = "Original"
    phase = "original"
    part = "train"
    from_scratch = True
