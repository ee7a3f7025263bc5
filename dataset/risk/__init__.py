"""How many people of a table a few known rows single out."""
