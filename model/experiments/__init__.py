"""Runs, searches and experiments: trains models, keeps their files and compares them."""
