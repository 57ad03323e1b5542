"""Prior knowledge of edges as products: sparse inside, so that no genes x genes array is ever built."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import coo_array
from torch import Tensor

from scdash._core.errors import check_choice


@dataclass(frozen=True, eq=False)
class Prior:
    """Prior edges P and coregulation C for DASH, shared by all models or one per model.

    Parameters
    ----------
    P
        Non-negative (target, regulator) matrix of edge weights, or a sequence of them, one per model; torch or SciPy
        sparse, or dense. Signs have no place here: pass absolute values.
    C
        Symmetric (regulator, regulator) coregulation, likewise; None means |A||A|^T = P^T P, which is applied as two
        products. C is scaled to sum 1 either way.
    missing
        What targets without any prior edge get: "mean", what the others get on average (the mean row, and with hidden
        units the typical row of scores, see `_scores.fill_unknown`), or "zero", as in the paper, by which such targets
        lose all their inputs under a sparse prior.
    """

    P: Any
    C: Any = None
    missing: Literal["mean", "zero"] = "mean"

    def __post_init__(self) -> None:
        check_choice("missing", self.missing, ("mean", "zero"))
        edges = [_sparse(p, "P") for p in _listed(self.P)]
        shapes = {tuple(p.shape) for p in edges}
        if len(shapes) != 1:
            raise ValueError(f"P must have one shape for all models, found {sorted(shapes)}.")
        object.__setattr__(self, "P", tuple(edges))
        if self.C is not None:
            coregulation = [_sparse(c, "C") for c in _listed(self.C)]
            n = edges[0].shape[1]
            if len(coregulation) not in (1, len(edges)) or any(tuple(c.shape) != (n, n) for c in coregulation):
                raise ValueError(
                    f"C must be ({n}, {n}), one or one per model, found {[tuple(c.shape) for c in coregulation]}."
                )
            object.__setattr__(self, "C", tuple(c / c.sum().to_dense().clamp_min(1e-300) for c in coregulation))

    @property
    def n_models(self) -> int:
        """Number of models this prior holds matrices for; 1 means shared."""
        return len(self.P)

    def known(self) -> Tensor:
        """Return which targets have any edge, (models or 1, targets)."""
        return torch.stack([torch.sparse.sum(p, 1).to_dense() > 0 for p in self.P])

    def of_models(self, part: slice) -> "Prior":
        """Return the prior of some models of a stack; itself if all share one."""
        if self.n_models == 1:
            return self
        together = self.C if self.C is None or len(self.C) == 1 else self.C[part]
        return Prior(self.P[part], together, self.missing)

    def to(self, device: torch.device | str) -> "Prior":
        """Return the prior on a device."""
        if self.P[0].device == torch.device(device):
            return self
        moved = None if self.C is None else tuple(c.to(device) for c in self.C)
        return Prior(tuple(p.to(device) for p in self.P), moved, self.missing)

    def of_inputs(self, inputs: tuple[tuple[int, ...], ...] | None) -> "Prior":
        """Return the prior of inputs that each stand for one or several genes (the mean of these genes' entries)."""
        if inputs is None:
            return self
        rows = [gene for genes in inputs for gene in genes]
        columns = [column for column, genes in enumerate(inputs) for _ in genes]
        fractions = torch.tensor([1 / len(genes) for genes in inputs for _ in genes], dtype=torch.float64)
        size = (self.P[0].shape[1], len(inputs))
        spread = _coo(torch.tensor([rows, columns]), fractions, size).to(self.P[0].device)
        mapped = (
            None if self.C is None else tuple(_sparse_product(_sparse_product(spread.t(), c), spread) for c in self.C)
        )
        return Prior(tuple(_sparse_product(p, spread) for p in self.P), mapped, self.missing)

    def times(self, right: Tensor) -> Tensor:
        """Return P X for X (models, regulators, k): (models, targets, k)."""
        found = _products(self.P, right)
        if self.missing == "mean":
            for model, (empty, mean) in enumerate(self._fills()):
                chosen = slice(None) if self.n_models == 1 else slice(model, model + 1)
                found[chosen, empty] = (mean @ right[chosen])[:, None]
        return found

    def transposed_times(self, right: Tensor) -> Tensor:
        """Return P^T X for X (models, targets, k): (models, regulators, k)."""
        found = _products(tuple(p.t() for p in self.P), right)
        if self.missing == "mean":
            for model, (empty, mean) in enumerate(self._fills()):
                chosen = slice(None) if self.n_models == 1 else slice(model, model + 1)
                found[chosen] += mean[:, None] * right[chosen][:, empty].sum(1, keepdim=True)
        return found

    def coregulation_times(self, right: Tensor) -> Tensor:
        """Return C X for X (models, regulators, k), C scaled to sum 1; no fill enters C, which counts real edges."""
        if self.C is not None:
            return _products(self.C, right)
        # |A||A|^T = P^T P, whose sum is that of the squared row sums of P
        found = _products(tuple(p.t() for p in self.P), _products(self.P, right))
        totals = [torch.sparse.sum(p, 1).to_dense().square().sum() for p in self.P]
        return found / torch.stack(totals).clamp_min(1e-300)[:, None, None]

    def dense(self) -> Tensor:
        """Return P as an array (models or 1, targets, regulators), empty rows filled; for few genes only."""
        found = torch.stack([p.to_dense() for p in self.P])
        if self.missing == "mean":
            for model, (empty, mean) in enumerate(self._fills()):
                found[model, empty] = mean
        return found

    def at(self, targets: Tensor, regulators: Tensor) -> Tensor:
        """Return the entries of `dense` at some edges, (models or 1, 1, edges)."""
        found = []
        for p, (empty, mean) in zip(self.P, self._fills(), strict=True):
            entries = _scipy(p).tocsr()[targets.cpu().numpy().copy(), regulators.cpu().numpy().copy()]
            entries = torch.as_tensor(np.asarray(entries, np.float64), device=p.device)
            if self.missing == "mean":
                entries = torch.where(empty[targets.to(p.device)], mean[regulators.to(p.device)], entries)
            found.append(entries[None])
        return torch.stack(found)

    def _fills(self) -> list[tuple[Tensor, Tensor]]:
        """Return for every matrix which targets have no edge, and the mean row of the others."""
        fills = []
        for p, known in zip(self.P, self.known(), strict=True):
            total = torch.sparse.sum(p, 0).to_dense()
            fills.append((~known, total / known.sum().clamp_min(1)))
        return fills


def _listed(value: Any) -> Sequence[Any]:
    return value if isinstance(value, list | tuple) else [value]


def _sparse(matrix: Any, name: str) -> Tensor:
    """Return a coalesced COO tensor in double precision after checking what was given."""
    if isinstance(matrix, Tensor):
        found = matrix if matrix.layout == torch.sparse_coo else matrix.detach().to_sparse()
    elif hasattr(matrix, "tocoo"):
        coo = matrix.tocoo()
        places = torch.as_tensor(np.vstack([coo.row, coo.col]).astype(np.int64))
        found = _coo(places, torch.as_tensor(np.asarray(coo.data, np.float64)), coo.shape)
    else:
        found = torch.as_tensor(np.asarray(matrix, np.float64)).to_sparse()
    if found.ndim != 2:
        raise ValueError(f"{name} must be a matrix or a list of matrices, found {found.ndim} dimensions.")
    found = found.double().coalesce()
    values = found.values()
    if not bool(torch.isfinite(values).all()) or bool((values < 0).any()):
        raise ValueError(f"{name} must be finite and non-negative; pass absolute values of a signed network.")
    keep = values != 0  # explicit zeros are no edges
    return _coo(found.indices()[:, keep], values[keep], found.shape)


def _coo(places: Tensor, values: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Return a coalesced COO tensor; saying nothing about invariant checks makes torch warn."""
    return torch.sparse_coo_tensor(places, values, shape, check_invariants=False).coalesce()


def _sparse_product(left: Tensor, right: Tensor) -> Tensor:
    """Return a product of two sparse matrices, by SciPy: torch goes through CSR tensors, which warn of being beta."""
    return _sparse(_scipy(left) @ _scipy(right), "product").to(left.device)


def _scipy(matrix: Tensor) -> Any:
    found = matrix.cpu().coalesce()
    return coo_array((found.values().numpy(), found.indices().numpy()), shape=tuple(found.shape)).tocsr()


def _products(matrices: tuple[Tensor, ...], right: Tensor) -> Tensor:
    """Return M X for every model, X (models, columns, k); one sparse product if M is shared."""
    if len(matrices) == 1:
        models, columns, k = right.shape
        flat = right.permute(1, 0, 2).reshape(columns, models * k).contiguous()  # a transposed one is 4 times slower
        product: Tensor = torch.sparse.mm(matrices[0], flat)
        return product.reshape(-1, models, k).permute(1, 0, 2).contiguous()
    if len(matrices) != len(right):
        raise ValueError(f"The prior holds matrices for {len(matrices)} models, but {len(right)} are trained.")
    return torch.stack([torch.sparse.mm(m, x) for m, x in zip(matrices, right, strict=True)])
