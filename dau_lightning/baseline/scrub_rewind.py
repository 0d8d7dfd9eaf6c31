"""SCRUB+R (Kurmanji et al. 2023): SCRUB that goes back to the epoch whose error on the forget set is that on unseen images."""

import torch

from dau_lightning.base.error import require
from dau_lightning.baseline.scrub import SCRUB
from dau_lightning.data.split import Split
from dau_lightning.training.plain_pass import accuracy, accuracy_as_in, accuracy_on_wrong_labels


class SCRUBRewind(SCRUB):
    """SCRUB that ends with the weights of the epoch at which attacks can tell `D_f` from unseen images least.

    It is the epoch whose error on `D_f` is closest to the final weights' error on held-out images (`D_v`, in the proportions
    that the classes have in `D_f`); of several, the last, which has trained on `D_r` longest. `findings["epoch"]` says which,
    counted from 1. Each checkpoint of the training holds the weights of all its epochs. For the arguments see `SCRUB`.
    """

    label = "SCRUB+R"

    def check(self, split: Split) -> None:
        """See `UnlearningModule.check`."""
        super().check(split)
        known = bool(torch.isin(split.val.targets, split.forget.targets).any())
        require(known, "baseline=scrub_rewind needs a validation image of a class of the forget set; baseline=scrub needs none")

    def begin(self) -> None:
        """Prepare the list of errors on the forget set and weights after each epoch."""
        super().begin()
        self.memory["epochs"] = []

    def on_train_epoch_end(self) -> None:
        """Remember the weights; after the last epoch, go back to the best ones."""
        forget, transform, epochs = self.data.part("forget"), self.data.transform, self.memory["epochs"]
        error = 1 - accuracy(self.defender, forget, transform)
        epochs.append((error, {name: tensor.clone() for name, tensor in self.defender.state_dict().items()}))
        if len(epochs) == self.epochs:
            unseen = accuracy_as_in(self.defender, self.data.part("val"), transform, forget.targets)
            if self.data.split.wrong_labels:
                unseen = accuracy_on_wrong_labels(unseen, self.defender.num_classes)
            nearest = min(reversed(range(len(epochs))), key=lambda epoch: abs(epochs[epoch][0] - (1 - unseen)))
            self.findings["epoch"] = nearest + 1
            self.defender.load_state_dict(epochs[nearest][1])
