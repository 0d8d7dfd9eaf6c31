"""Changes images or labels of `D` before the original is trained, and marks what it changed."""
