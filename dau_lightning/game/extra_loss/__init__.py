"""Extra losses of a method (section 3.3), one in each file; see `training.extra_loss`."""
