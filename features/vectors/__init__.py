"""Reads feature vectors that exist already: NumPy, Parquet, Arrow, safetensors and Amazon's files, and folders."""
