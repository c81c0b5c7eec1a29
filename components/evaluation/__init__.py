"""Judges a model's figures on data it has not seen."""
