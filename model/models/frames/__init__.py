"""Rankers of key frames that train nothing: no model of taste should lose to them."""
