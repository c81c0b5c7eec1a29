"""Tries a release on live traffic: the local runtime with real servers behind a real Envoy."""
