"""Imports datasets from other tools' files, and exports datasets to files for other tools."""
