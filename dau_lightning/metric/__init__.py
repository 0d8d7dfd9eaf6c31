"""The numbers of a run, each a pure function, with its torchmetrics metric where it has one."""
