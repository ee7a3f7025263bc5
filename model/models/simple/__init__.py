"""Models without anything to train."""
