"""Figures of interventions: trajectories, shifts, fates and scores of held genes."""
