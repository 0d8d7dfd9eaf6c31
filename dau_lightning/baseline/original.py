"""The model before unlearning: trained from scratch on all of `D` by the recipe, the last epoch taken."""

from dau_lightning.descent import Descent


class Original(Descent):
    """Descent on the whole training set from new weights."""

    label = "Original"
    phase = "original"
    part = "train"
    from_scratch = True
