"""Published snapshots: written, read, verified, compared and pulled. Start reading at `snapshot.py`."""
