"""From weights to networks: effects of regulators on targets, and how sparse they are.

Everything here is (target, regulator) inside a model: row = target, column = regulator.
"""

from collections.abc import Mapping
from functools import reduce
from operator import add, matmul

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse import csr_array, diags_array, vstack
from torch import Tensor

from scdash.fields import RegulatoryPath, VectorField

BLOCK = 1024  # targets whose dependencies are computed at once: no dense genes x genes array is built
PER_TARGET = 100  # regulators kept for every target where not all pairs can be listed
ENTRIES = 20_000_000  # pairs that are listed all, and bound on what is dense at once
TOLERANCE = 1e-5  # below this a path counts as absent (Aliee et al. 2022, section 3.3)


def effects(field: VectorField, params: Mapping[str, Tensor], *, by_gene: bool = False) -> Tensor:
    """Return the effects matrix D, row = target, column = input, (models, genes, inputs); dense, for few genes.

    The sum over linear paths of the product of their layers, without the targets' rates: D = U_S W_S + U_P W_P for
    PHOENIX (DASH C.2), U_S for a gene-wise one. `inputs` are the genes, or positions and velocities of second-order
    fields; `by_gene` folds those into one column a gene: absolute values add up, the larger one gives the sign.
    """
    found: Tensor | None = None
    for path in field.paths():
        if path.linear:
            product = path.layers[0].effect(params)
            if path.entries is not None:
                product = _spread(product, path, field.n_genes)
            for layer in path.layers[1:]:
                product = layer.effect(params) @ product
            if path.skip is not None:
                product = product + path.skip.effect(params)
            if by_gene and path.inputs is not None:
                product = _fold(product, path, field.n_genes)
            found = product if found is None else found + product
    if found is None:
        raise ValueError(f"The vector field {field.name!r} has no linear path, hence no effects matrix.")
    return found


def sparse_effects(
    field: VectorField,
    params: Mapping[str, Tensor],
    *,
    by_gene: bool = False,
) -> list[csr_array]:
    """Return D of every model as CSR (target, input), by sparse products: no dense genes x genes array is built.

    `by_gene` as in `effects`.
    """
    models = len(next(iter(params.values())))
    found = []
    for model in range(models):
        one = {name: p[model : model + 1] for name, p in params.items()}
        total = None
        for path in field.paths():
            if path.linear:
                product = _csr(path.layers[0].effect(one))
                if path.entries is not None:
                    at = tuple(index.numpy().copy() for index in path.entries)
                    product = csr_array((product.toarray()[0], at), shape=(field.n_genes, field.n_genes))
                for layer in path.layers[1:]:
                    product = _csr(layer.effect(one)) @ product
                if path.skip is not None:
                    product = product + _csr(path.skip.effect(one))
                if by_gene and path.inputs is not None:
                    product = _sparse_fold(product, csr_array(_incidence(path, field.n_genes, torch.empty(0)).numpy()))
                total = product if total is None else total + product
        if total is None:
            raise ValueError(f"The vector field {field.name!r} has no linear path, hence no effects matrix.")
        total.eliminate_zeros()
        found.append(total)
    return found


def strongest_effects(
    field: VectorField,
    params: Mapping[str, Tensor],
    *,
    by_gene: bool = False,
    per_target: int = PER_TARGET,
    limit: int = ENTRIES,
) -> tuple[csr_array, NDArray[np.floating]]:
    """Return D of ONE model as CSR (target, input), and sum_j |D_ij| over ALL inputs of every target, (targets,).

    Products of thin layers can be dense: at 11,165 genes and 300 units, 5 % of the weights make half of all pairs. Where
    more than `limit` entries are possible, D is computed in blocks of targets and only the `per_target` largest effects
    on every target are kept; else all are. `by_gene` as in `effects`; fields with inputs of their own, or with skip
    connections, are listed whole.
    """
    linear = [path for path in field.paths() if path.linear]
    plain = all(path.skip is None and path.inputs is None and path.entries is None for path in linear)
    stacks = [[_csr(layer.effect(params)) for layer in path.layers] for path in linear if plain]
    if _possible(stacks) <= limit:
        exact = sparse_effects(field, params, by_gene=by_gene)[0]
        return exact, np.asarray(abs(exact).sum(axis=1)).ravel()
    rows, found, totals = max(1, ENTRIES // stacks[0][0].shape[1] // 8), [], []
    for first in range(0, stacks[0][-1].shape[0], rows):
        parts = (reduce(matmul, [layers[-1][first : first + rows], *layers[-2::-1]]) for layers in stacks)
        dense = reduce(add, parts).toarray()
        size = np.abs(dense)
        strongest = np.argpartition(-size, per_target, axis=1)[:, :per_target]
        row = np.repeat(np.arange(len(dense)), per_target)
        part = csr_array((dense[row, strongest.ravel()], (row, strongest.ravel())), shape=dense.shape)
        part.eliminate_zeros()
        found.append(part)
        totals.append(size.sum(axis=1))
    return csr_array(vstack(found)), np.concatenate(totals)


def _possible(stacks: list[list[csr_array]]) -> int:
    """Return an upper bound on the entries of the sum of products: multiplications of the last product of each."""
    most = 0
    for layers in stacks:
        through = np.diff(layers[0].indptr)  # entries of each row of the product so far
        for layer in layers[1:]:
            through = np.minimum(layer.astype(bool) @ through, layers[0].shape[1])
        most += int(through.sum())
    return most


def relative_contribution(effect: Tensor, v: Tensor | None = None) -> Tensor:
    r"""Return D~ (..., target, regulator), each target's effects as shares: relu(v_i) D_ij / sum_j |relu(v_i) D_ij|.

    Rows of zeros stay zero. `v` (..., target) holds the targets' rates; None where the field has none (DASH C.2).
    """
    scaled = effect if v is None else effect * v.relu()[..., None]
    total = scaled.abs().sum(-1, keepdim=True)
    return torch.where(total > 0, scaled / torch.where(total > 0, total, 1), 0)


def sparse_relative_contribution(
    effect: csr_array, v: NDArray[np.floating] | None = None, totals: NDArray[np.floating] | None = None
) -> csr_array:
    """Return what `relative_contribution` does for one model's CSR effects (target, regulator).

    `totals` are sum_j |D_ij| where `effect` does not list all of them.
    """
    rate = None if v is None else np.maximum(np.asarray(v), 0).astype(effect.dtype)
    scaled = effect if rate is None else diags_array(rate) @ effect
    total = np.asarray(abs(scaled).sum(axis=1)).ravel() if totals is None else totals * (1 if rate is None else rate)
    share = np.divide(1, total, out=np.zeros_like(total), where=total > 0)
    found = csr_array(diags_array(share.astype(effect.dtype)) @ scaled)
    found.eliminate_zeros()
    return found


def dependencies(field: VectorField, params: Mapping[str, Tensor], *, targets: slice = slice(None)) -> Tensor:
    """Return upper bounds on how much each target depends on each input, (models, target, input), non-negative.

    |W^L| ... |W^1| summed over paths (Aliee et al. 2022, section 3.3; apply gates first), with the norm of each
    input's first-layer weights for every target where there is a skip connection (LassoNet). Both genes of a product
    count as inputs.
    """
    found: Tensor | None = None
    for path in field.paths():
        layers = [layer.effect(params).abs() for layer in path.layers]
        if path.entries is not None:
            matrix = _spread(layers[0], path, field.n_genes, targets)
        elif path.skip is not None:
            matrix = layers[0].norm(dim=1, keepdim=True).expand(-1, field.n_genes, -1)[:, targets]
        else:
            layers[-1] = layers[-1][:, targets]
            matrix = layers[0]
            for layer in layers[1:]:
                matrix = layer @ matrix
        if not path.linear and path.inputs is not None:
            matrix = matrix @ _incidence(path, field.n_genes, matrix)
        found = matrix if found is None else found + matrix
    if found is None:
        raise ValueError(f"The vector field {field.name!r} has no regulatory path.")
    return found


def feature_sparsity(field: VectorField, params: Mapping[str, Tensor]) -> Tensor:
    """Return the fraction of (target, input) pairs without dependence, (models,)."""
    starts = range(0, field.n_genes, BLOCK)
    blocks = (dependencies(field, params, targets=slice(start, start + BLOCK)) for start in starts)
    return torch.cat([(block < TOLERANCE).float().mean(2) for block in blocks], dim=1).mean(1)


def weight_sparsity(field: VectorField, params: Mapping[str, Tensor]) -> Tensor:
    """Return the fraction of path weights (after gates) below `TOLERANCE` in absolute value, (models,)."""
    small, total = torch.zeros(()), 0
    for path in field.paths():
        for layer in path.layers:
            weights = params[layer.parameter].flatten(1)
            size = weights.shape[1] if path.entries is None else field.n_genes**2  # edges that are not listed are zero
            small = small.to(weights.device) + (weights.abs() < TOLERANCE).sum(1) + (size - weights.shape[1])
            total += size
    return small / total


def spurious_sparsity(field: VectorField, params: Mapping[str, Tensor], regulators: NDArray[np.bool_]) -> Tensor:
    """Return the share of zeros in the columns of genes that cannot regulate, (models,); higher is better.

    `regulators` flags the genes that can, e.g. transcription factors; NaN if all do.
    """
    flags = np.asarray(regulators, bool)
    if flags.shape != (field.n_genes,):
        raise ValueError(f"regulators must flag each of the {field.n_genes} genes, found shape {flags.shape}.")
    matrix = dependencies(field, params)
    spurious = torch.as_tensor(~flags).repeat(matrix.shape[2] // field.n_genes)
    return (matrix[:, :, spurious.to(matrix.device)] < TOLERANCE).flatten(1).float().mean(1)


def _fold(product: Tensor, path: RegulatoryPath, n_genes: int) -> Tensor:
    spread = _incidence(path, n_genes, product)
    size, signed = product.abs() @ spread, (product * product.abs()) @ spread
    return torch.where(signed < 0, -size, size)


def with_products(effect: csr_array, field: VectorField, params: Mapping[str, Tensor], activation: float) -> csr_array:
    """Return the effects D of ONE model with the edges that act through products of genes alone, which D lacks.

    Such an edge has the weights of its products times a typical `activation` of their other gene; absolute values add up,
    and the largest gives the sign.
    """
    found = csr_array(effect)
    for path in field.paths():
        if not path.linear and path.inputs is not None:
            incidence = csr_array(_incidence(path, field.n_genes, torch.empty(0)).numpy())
            products = _sparse_fold(_csr(path.layers[0].effect(params)), incidence)
            found = csr_array(found + activation * (products - products.multiply(effect != 0)))
    found.eliminate_zeros()
    return found


def _sparse_fold(product: csr_array, spread: csr_array) -> csr_array:
    """Do what `_fold` does for one model's CSR effects."""
    size, signed = abs(product) @ spread, (product * abs(product)) @ spread
    return csr_array(size - 2 * size.multiply(signed < 0))


def _incidence(path: RegulatoryPath, n_genes: int, like: Tensor) -> Tensor:
    """Return (inputs, genes), 1 where an input stands for a gene."""
    inputs = path.inputs or ()
    spread = torch.zeros(len(inputs), n_genes, dtype=like.dtype, device=like.device)
    for position, genes in enumerate(inputs):
        spread[position, list(genes)] = 1
    return spread


def _spread(values: Tensor, path: RegulatoryPath, n_genes: int, targets: slice = slice(None)) -> Tensor:
    """Return a list of edges (models, 1, edges) as rows of a matrix (models, target, input)."""
    assert path.entries is not None
    first, last, _ = targets.indices(n_genes)
    target, regulator = (index.to(values.device) for index in path.entries)
    inside = (target >= first) & (target < last)
    found = values.new_zeros(len(values), last - first, n_genes)
    found[:, target[inside] - first, regulator[inside]] = values[:, 0, inside]
    return found


def _csr(matrix: Tensor) -> csr_array:
    return csr_array(matrix[0].detach().cpu().numpy())
