"""Training: the base class of every method, SGD, callbacks, checkpoints, Lightning's Trainer."""
