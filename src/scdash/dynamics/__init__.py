"""Time courses and pseudotime: what a fit says of the lineages that it was given."""

from scdash.dynamics.lineages import lineage_ends, lineage_lines

__all__ = ["lineage_ends", "lineage_lines"]
