"""Edges without a model: how far data connect two genes, and the order of edges."""
