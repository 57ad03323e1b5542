"""Gene-wise PHOENIX, with or without pairs, on the edges that are left: each model of a stack has its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
from torch import Tensor

from scdash.fields.compact import Compact, CompactField, entries
from scdash.fields.edges import EdgeLayout, EdgeWise


@final
@dataclass(frozen=True)
class CompactGenes(CompactField):
    """`Phoenix(encoder="genes")` on gathered weights: `U_sums`, `U_prods` are (models, entries left)."""

    name: ClassVar[str] = "phoenix on the edges left"
    n_genes: int
    layout: EdgeLayout

    def evaluator(self, params: Mapping[str, Tensor]) -> EdgeWise:
        """Return the same with its derivative written out."""
        return EdgeWise(self.layout, params)


def compact_genes(
    n_genes: int, pairs: tuple[tuple[int, int], ...], masks: Mapping[str, Tensor], density: float
) -> Compact:
    """Return the gene-wise PHOENIX on what the masks leave, and where that lies."""
    found = {name: [entries(mask) for mask in masks[name]] for name in masks}
    edges = {name: [(rows, columns) for rows, columns, _ in parts] for name, parts in found.items()}
    layout = EdgeLayout.of(
        n_genes, edges["U_sums"], edges.get("U_prods", ()), np.asarray(pairs, np.int64).reshape(-1, 2)
    )
    places = {name: [at for _, _, at in parts] for name, parts in found.items()}
    return Compact(CompactGenes(n_genes, layout), places, density)
