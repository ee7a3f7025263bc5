"""Models that recommend what is near: to the items of a user, or to the user."""
