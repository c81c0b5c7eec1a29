"""The only place in the controller that does I/O."""
