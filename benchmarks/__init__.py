"""How fast it is: ratios against a hand-written loop, a bound, Retrain; `python -m benchmarks`, or `make bench`."""
