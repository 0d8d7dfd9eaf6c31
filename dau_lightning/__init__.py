"""Discriminative Adversarial Unlearning (Sharma, Zhou, Ji & Chen, arXiv 2402.06864) for image classifiers."""
