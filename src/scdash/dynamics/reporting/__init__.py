"""What is said of a fit: errors, verdict, how well trajectories are followed, and evidence about edges."""
