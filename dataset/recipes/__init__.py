"""Recipes: how to import the data sets that the field knows by name, from files that the user has downloaded."""
