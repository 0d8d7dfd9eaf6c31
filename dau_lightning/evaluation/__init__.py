"""The numbers of a run, and what a reader must not take at face value."""
