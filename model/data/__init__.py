"""A snapshot as indices and tensors: what models train on, and what judges them."""
