"""Bundles: results that others can check, packed from runs, verified against the snapshot, and shown on one page."""
