"""Fits that are trained on pairs of states: random starts, hidden units, penalties, and stacks of models."""
