"""How a network is trained: the base of every method, SGD, callbacks, the trainer."""
