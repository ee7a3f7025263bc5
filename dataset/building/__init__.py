"""Turns raw tables into a dataset: implicit feedback, k-core, split and statistics."""
