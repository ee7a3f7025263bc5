"""Published snapshots: writes, reads, verifies, compares, pulls and documents them."""
