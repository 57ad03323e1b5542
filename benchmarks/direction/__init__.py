"""Data that carry direction: sampled times and branches, each row of the table beside baselines; see `__main__`."""
