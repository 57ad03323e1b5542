"""PerturbODE as its paper trains it: cells are carried through the ODE."""
