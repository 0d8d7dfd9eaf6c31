"""Everything between images and batches: the split, the request, the transform, the loaders."""
