"""The models, grouped by kind. `recommender.py` defines what they have in common; `registry.py` lists them."""
