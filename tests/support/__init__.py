"""Small real material that several test folders share."""
