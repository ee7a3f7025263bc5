"""Takes still frames out of videos, in processes that may die or hang: which frames, decoding, and limits."""
