"""Runs by name: what names a run, where it is, which runs there are."""
