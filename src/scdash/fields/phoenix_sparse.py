"""The gene-wise PHOENIX stored and computed on its support alone, for thousands of genes."""

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from scdash.fields.hill import hill_sums
from scdash.fields.vector_field import Layer, Params, RegulatoryPath, VectorField, Velocity


@final
@dataclass(frozen=True)
class SparsePhoenix(VectorField):
    r"""`Phoenix(encoder="genes")` for networks of which only the listed edges may differ from zero.

        dx/dt = relu(v) * (U phi_S(x) + bias - x)

    `U_sums` is (models, 1, edges): one row, so that sparsity methods rank edges as they rank a matrix. Edge e acts
    from gene `regulators[e]` on gene `targets[e]`; edges are sorted by target. States are (models, batch, genes) in
    arbitrary units near [0, 1].
    """

    name: ClassVar[str] = "phoenix_sparse"
    n_genes: int
    targets: tuple[int, ...]
    regulators: tuple[int, ...]

    def check(self) -> None:
        """Raise where an edge is listed twice, out of order, or of a gene that there is not."""
        target, regulator = np.asarray(self.targets, np.int64), np.asarray(self.regulators, np.int64)
        if target.shape != regulator.shape or np.any(np.diff(target * self.n_genes + regulator) <= 0):
            raise ValueError("targets and regulators must list every edge once, sorted by target, then regulator.")
        both = np.concatenate([target, regulator])
        if len(both) and (both.min() < 0 or both.max() >= self.n_genes):
            raise ValueError(f"targets and regulators must be gene indices from 0 to {self.n_genes - 1}.")

    def init(self, n_models: int, generator: torch.Generator, dtype: torch.dtype = torch.float32) -> Params:
        """Draw small uniform effects, the middle of the data's range as bias, uniform rates."""
        shape, n = (n_models, 1, len(self.targets)), self.n_genes
        drawn = torch.rand(shape, generator=generator, dtype=torch.float64)
        params = {"U_sums": (2 * drawn - 1) / n, "bias": torch.full((n_models, n), 0.5, dtype=torch.float64)}
        params["v"] = torch.rand(n_models, n, generator=generator, dtype=torch.float64)
        return {name: value.to(dtype) for name, value in params.items()}

    @cached_property
    def _index(self) -> tuple[Tensor, Tensor]:
        return torch.tensor(self.targets, dtype=torch.long), torch.tensor(self.regulators, dtype=torch.long)

    def bind(self, params: Mapping[str, Tensor]) -> Velocity:
        """Return x -> dx/dt, (models, batch, genes)."""
        bias, rate = params["bias"][:, None], params["v"].relu()[:, None]
        target, regulator = (index.to(rate.device) for index in self._index)

        def velocity(x: Tensor) -> Tensor:
            parts = hill_sums(x).index_select(2, regulator) * params["U_sums"]
            return rate * (bias - x).index_add(2, target, parts)

        return velocity

    def paths(self) -> tuple[RegulatoryPath, ...]:
        """Return the additive effects, edge by edge."""

        def importance(p: Mapping[str, Tensor]) -> Tensor:
            return p["U_sums"].abs() * p["v"].relu()[:, None, self._index[0].to(p["v"].device)]

        layer = Layer("U_sums", importance, lambda p: p["U_sums"])
        return (RegulatoryPath("sums", (layer,), entries=self._index),)

    def learning_rates(self) -> dict[str, float]:
        """Return the factor 5 of the gene multipliers v, as `Phoenix` has it."""
        return {"v": 5.0}

    def rates(self, params: Mapping[str, Tensor]) -> Tensor:
        """Return relu(v), (models, genes)."""
        return params["v"].relu()

    def to_matrices(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Return ONE model's arrays (no leading axis) with U as CSR (target, regulator), for storage."""
        values = np.asarray(params["U_sums"])[0]
        matrix = csr_array((values, (self.targets, self.regulators)), shape=(self.n_genes, self.n_genes))
        return {**params, "U_sums": matrix}

    def from_matrices(self, params: Mapping[str, Any]) -> dict[str, Any]:
        """Undo `to_matrices`."""
        values = np.asarray(csr_array(params["U_sums"])[self.targets, self.regulators])
        return {**params, "U_sums": values.reshape(1, -1)}


def csr_tensor(start: Tensor, index: Tensor, values: Tensor, shape: tuple[int, int]) -> Tensor:
    """Return a CSR tensor of rows `start`, columns `index` and `values`, on the device and of the type of `values`.

    torch says once in a process that these tensors are a beta, to whoever makes the first. Users can do nothing about
    it, and the tests compare every product with a dense one.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*CSR.*")
        return torch.sparse_csr_tensor(start, index, values, size=shape, check_invariants=False)
