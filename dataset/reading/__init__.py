"""Reads tables that users bring: text of any separator, quoting, encoding and compression, and Parquet."""
