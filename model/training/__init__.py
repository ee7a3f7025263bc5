"""Pairwise training. Start reading at `trainer.py`."""
