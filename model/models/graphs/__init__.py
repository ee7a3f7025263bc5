"""Models that propagate embeddings over graphs: of users and items, and of similar items."""
