"""Reads pictures out of tar, zip, Parquet and Arrow files where they are, without unpacking them."""
