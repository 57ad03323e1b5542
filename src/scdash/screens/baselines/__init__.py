"""What is run on a screen instead of PerturbODE, and what its predictions have to be compared with."""
