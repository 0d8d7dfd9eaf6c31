"""Hyper-parameter search by the selection score: `python -m dau_lightning.search baseline=NAME dataset=NAME trials=N`."""
