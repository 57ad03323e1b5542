"""PerturbODE at rest: the regression of equilibria, its path of solutions, and the steady states of a network."""
