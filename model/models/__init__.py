"""The models: `recommender.py` says what they have in common, `registry.py` lists them."""
