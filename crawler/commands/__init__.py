"""The commands of `python -m crawler`: their options, and what they print."""
