"""Product 1: models of dynamics from time courses and from cells in pseudotime."""
