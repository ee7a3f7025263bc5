"""Runs, searches and experiments: what is trained, where it is kept, how runs are compared."""
