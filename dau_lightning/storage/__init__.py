"""What stays on the disk: files written in one step, trained weights by content, run folders, decoded images."""
