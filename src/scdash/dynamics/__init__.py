"""Product 1: models of dynamics from time courses and from cells in pseudotime."""

from scdash.dynamics.problem import FitProblem, Units
from scdash.dynamics.reporting.lineages import lineage_ends, lineage_lines

__all__ = ["FitProblem", "Units", "lineage_ends", "lineage_lines"]
