"""Weights of the authors of a family, without a configuration: read."""
