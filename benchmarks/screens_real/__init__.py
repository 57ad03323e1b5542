"""The table of `screens_real`: screens that nobody tuned the fit for, `python -m benchmarks.screens_real`."""
