"""Mutation testing: change the code at random, and see whether the unit tests notice (./dev mutate)."""
