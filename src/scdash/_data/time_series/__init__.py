"""Cells and states as time series: bins of cells, sampled times, couplings, velocities, and halves of the cells."""
