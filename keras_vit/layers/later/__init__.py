"""Layers of the families that came after the paper."""
