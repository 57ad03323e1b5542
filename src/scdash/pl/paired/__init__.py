"""Figures of networks between paired modalities."""
