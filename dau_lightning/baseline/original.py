"""The model before unlearning: trained from scratch on all of `D` by the recipe, the last epoch taken."""

from dau_lightning.training.sgd import SGDMethod


class Original(SGDMethod):
    """SGD on the whole training set from new weights."""

    label = "Original"
    phase = "original"
    part = "train"
    from_scratch = True
