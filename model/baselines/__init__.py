"""What JIFR is compared with, one file a model, each with its config beside it."""
