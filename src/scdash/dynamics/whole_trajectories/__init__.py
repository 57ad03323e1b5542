"""Fits that start from the regression and are trained on whole trajectories, pruned in rounds and chosen by folds."""
