"""Shows what a model's scores rest on and that its reasons add up to them."""
