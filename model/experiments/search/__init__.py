"""Searches for a model's best settings: the space, the trials and what they found."""
