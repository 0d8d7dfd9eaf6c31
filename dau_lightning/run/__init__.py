"""The command line, a run from its settings to its folder, and sweeps of many runs."""
