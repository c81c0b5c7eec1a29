"""Decides (purely) how a trial of a release goes on, and adapters that make it so."""
