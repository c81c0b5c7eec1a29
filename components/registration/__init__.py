"""Registers a model whose evidence is complete; nothing else may."""
