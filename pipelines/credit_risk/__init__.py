"""Mortgage lending: the pipeline, its contract and its policy."""
