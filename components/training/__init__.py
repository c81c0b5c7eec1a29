"""Trains the candidates of the policy and searches for less discriminatory alternatives."""
