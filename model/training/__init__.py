"""Training by pairs. Start reading at `trainer.py`."""
