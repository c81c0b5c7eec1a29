"""Checks data against its contract before anything is trained on it; fails closed."""
