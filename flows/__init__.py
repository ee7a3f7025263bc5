"""Prefect flows that order the stages, and the only package that knows them all.

Start reading at `build_dataset.py`.
"""
