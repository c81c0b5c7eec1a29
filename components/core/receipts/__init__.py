"""Receipts: signed statements, the log they stand in, and the proof that a model's evidence is whole.

Nothing here trusts the process that made a receipt: what is read is verified against a trust file.
"""
