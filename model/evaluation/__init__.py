"""Evaluation on held-out data: rankings, metrics and confidence intervals. Start reading at `evaluate.py`."""
