"""Writes the model card from the statements of the run."""
