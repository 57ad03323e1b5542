"""Velocities of cells: read from layers, or computed by scVelo, as rows for a fit."""
