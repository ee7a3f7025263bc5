"""Zenodo: deposits of snapshots with a DOI, and snapshots read back from them (the extra `hub`)."""
