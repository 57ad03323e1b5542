"""Perturbation screens: from labelled cells to a network, its evidence, and predictions of unseen perturbations."""
