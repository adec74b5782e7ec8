"""Positions that later families compute, resample or rotate by."""
