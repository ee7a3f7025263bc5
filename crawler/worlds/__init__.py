"""Invented worlds as tables, from a preset and a seed: who watched, rated and liked what, and why.

`presets` names the worlds, `world.draw_world` draws one, and `tables` returns it as the raw tables of `dataset build`.
The sandbox serves the same worlds over HTTP.
"""
