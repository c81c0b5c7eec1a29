"""Writes what happened, whatever happened: summary and report from the statements alone."""
