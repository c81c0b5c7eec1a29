"""Judges a model's decisions by group; what it refuses is not registered."""
