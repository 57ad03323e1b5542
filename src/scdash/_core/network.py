"""A network of genes as one value: edges whose two ends have names, so that no reader has to guess an orientation."""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

Positions = NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Network:
    """Edges between `n_genes` genes; zeros that a matrix stores stay.

    AnnData, tables and screens hold `outgoing`, in which a row regulates a column. Fields, pruning and regressions hold
    `incoming`: one row of regulators for every target, like the matrices of layers (out, in) and D in the papers. This is
    the one place where either becomes the other.
    """

    sources: Positions  # (edges,)
    targets: Positions  # (edges,)
    values: NDArray[Any]  # (edges,)
    n_genes: int

    @classmethod
    def from_outgoing(cls, matrix: Any, sources: Positions | None = None) -> Self:
        """Read a matrix (regulators, genes); `sources` are the positions of its rows among the genes, None: all genes."""
        found = sp.coo_matrix(matrix)
        return cls(found.row if sources is None else sources[found.row], found.col, found.data, found.shape[1])

    @classmethod
    def from_incoming(cls, matrix: Any) -> Self:
        """Read a matrix (targets, regulators) of all genes."""
        found = sp.coo_matrix(matrix)
        return cls(found.col, found.row, found.data, found.shape[0])

    @property
    def outgoing(self) -> sp.csr_matrix:
        """Return the network as (regulator, target): a row regulates a column."""
        return sp.csr_matrix((self.values, (self.sources, self.targets)), shape=(self.n_genes, self.n_genes))

    @property
    def incoming(self) -> sp.csr_matrix:
        """Return the network as (target, regulator)."""
        return sp.csr_matrix((self.values, (self.targets, self.sources)), shape=(self.n_genes, self.n_genes))

    def without_self(self) -> Self:
        """Leave out edges from a gene to itself."""
        other = self.sources != self.targets
        return type(self)(self.sources[other], self.targets[other], self.values[other], self.n_genes)

    def among(self, places: Positions, n_genes: int) -> Self:
        """Return the network among more genes, in which gene j is gene `places[j]`; values as float32, no zeros."""
        values = self.values.astype(np.float32)
        used = values != 0
        return type(self)(places[self.sources[used]], places[self.targets[used]], values[used], n_genes)
