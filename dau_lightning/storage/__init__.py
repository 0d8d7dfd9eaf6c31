"""Everything on the disk: atomic writes, the store of trained weights, run folders, decoded images."""
