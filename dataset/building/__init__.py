"""Raw tables become a dataset: implicit feedback, k-core, splits and their statistics. Start reading at `build.py`."""
