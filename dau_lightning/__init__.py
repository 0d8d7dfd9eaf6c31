"""Discriminative Adversarial Unlearning (Sharma, Zhou, Ji & Chen, arXiv 2402.06864) for image classifiers."""

import os

# Before torch is imported: threads that wait spin for microseconds, then sleep. Spinning on costs tenfold where cores are
# shared, sleeping at once costs half where they are not.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "1000")
