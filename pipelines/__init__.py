"""Pipelines, how they are compiled and run, and the command line."""
