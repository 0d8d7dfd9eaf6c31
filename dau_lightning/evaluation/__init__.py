"""The numbers of a run, the warnings about them, and the outputs from which pictures are drawn."""
