"""Benchmarks of the hot paths for airspeed velocity: `asv run` in `benchmarks/asv`."""
