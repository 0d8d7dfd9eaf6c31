"""From images to batches: split, request, transform, loaders."""
