"""Judging a model on held-out data: protocols, metrics, uncertainty."""
