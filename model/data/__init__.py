"""A snapshot as indices and tensors, for training and evaluation."""
