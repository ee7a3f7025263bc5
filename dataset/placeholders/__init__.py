"""Finds pictures that say nothing about their item (placeholders), and pictures that are nearly equal."""
