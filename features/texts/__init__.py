"""Texts of items as vectors: which texts, which sentence encoders, and how the vectors become features of the items."""
