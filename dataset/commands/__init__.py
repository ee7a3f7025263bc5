"""The commands of `python -m dataset`."""
