"""Folds, half-samples and validation: every choice that is made on data left out."""
