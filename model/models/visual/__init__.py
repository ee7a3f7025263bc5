"""Models that use the features of frames. `jifr.py` is the paper's model."""
