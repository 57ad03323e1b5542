"""How well default fits follow trajectories, and with how many edges."""
