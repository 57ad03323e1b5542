"""Sparse bottleneck networks and sparse reduced-rank regression: arrays in, arrays out."""
