"""Gene-wise PHOENIX, with or without pairs, on the edges that are left: each model of a stack has its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np
import torch
from torch import Tensor

from scdash.fields._base import Params, RegulatoryPath, VectorField, Velocity
from scdash.fields._compact import Compact, batch_last, entries
from scdash.fields._edges import EdgeLayout, EdgeWise
from scdash.fields._evaluator import at_once


@final
@dataclass(frozen=True)
class CompactGenes(VectorField):
    """`Phoenix(encoder="genes")` on gathered weights: `U_sums`, `U_prods` are (models, entries left)."""

    name: ClassVar[str] = "phoenix on the edges left"
    n_genes: int
    layout: EdgeLayout

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Refuse: weights are gathered, never drawn."""
        raise TypeError("A compact field takes the weights of the field it stands for; see Compact.gather.")

    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Refuse: sparsity methods see the whole field."""
        raise TypeError("A compact field has no matrices; prune the field it stands for.")

    def learning_rates(self) -> dict[str, float]:
        """Return the factor 5 of the gene multipliers v, as `Phoenix` has it."""
        return {"v": 5.0}

    def lift(self, params: Mapping[str, Tensor], x: Tensor) -> Tensor:
        """Lay states out gene by gene."""
        return batch_last(x)

    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> dx/dt, (models, batch, genes)."""
        return at_once(self.evaluator(params), params)

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
