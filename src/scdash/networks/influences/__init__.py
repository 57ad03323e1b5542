"""Influence of genes: how far a change of one gene moves the trajectories of all others."""
