"""One folder is one container image; `core` is what they share."""
