"""Contract and policy for the UCI credit-card default data: other data, no code."""
