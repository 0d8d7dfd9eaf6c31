"""The numbers of a run: attacks, AUC, disparity and selection score, as pure functions; some are torchmetrics metrics too."""
