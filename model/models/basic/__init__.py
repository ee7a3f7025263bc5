"""Models with nothing to train: most popular and random."""
