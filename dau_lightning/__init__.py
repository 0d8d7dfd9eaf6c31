"""Discriminative Adversarial Unlearning (Sharma, Zhou, Ji & Chen, arXiv 2402.06864) for image classifiers."""

import os

# Before torch is imported: threads that wait must not spin, which costs tenfold where cores are shared.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("GOMP_SPINCOUNT", "0")
