"""Stores every answer: the archive in WARC files (`warc.py`), and the picture files (`pictures.py`)."""
