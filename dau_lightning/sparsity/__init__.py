"""Sparsity: finds the mask of weights that are zero in the original, in Retrain and in every method."""
