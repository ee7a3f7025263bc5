"""Linear models from items to items."""
