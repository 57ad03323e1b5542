"""The edges of a gene-wise PHOENIX as sparsity methods see them, and the memory of a method through a whole fit."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash.fields import Params, SparsePhoenix
from scdash.regression import softsign
from scdash.sparsity import Context, Prior, Sparsity
from scdash.training.rollouts import Floats, GeneWise, Trajectories


@dataclass
class EdgePruning:
    """A sparsity method on the edges of one model, from the start of its training to the last round of pruning.

    `scale` (genes,) is the unit of every gene: effects on dx/dt are compared in units of the data, since ranges of genes
    that hardly change are mostly noise. `activations` (genes,), see `typical_activations`, weigh what an edge does
    through products. `left` (edges + product edges,) says which edges are left.
    """

    sparsity: Sparsity
    start: GeneWise
    left: NDArray[np.bool_]
    prior: Prior | None = None
    scale: NDArray[np.floating[Any]] | None = None
    activations: NDArray[np.floating[Any]] | None = None
    memory: Params | None = None  # None: that of the method before training

    def __post_init__(self) -> None:
        if self.memory is None:
            params, generator = self._params(self.start), torch.Generator().manual_seed(0)
            self.memory = self.sparsity.start(self._edges, params, generator)

    @classmethod
    def of(
        cls,
        start: GeneWise,
        sparsity: Sparsity,
        trajectories: Trajectories,
        prior: Prior | None,
        scale: NDArray[np.floating[Any]] | None,
        *,
        memory: Params | None = None,
        left: NDArray[np.bool_] | None = None,
    ) -> Self:
        """Return the method on the edges of a model that some trajectories train; `left` None: those that are not 0."""
        activations = typical_activations(trajectories) if len(start.pairs) else None
        kept = start.weights.data != 0 if left is None else left
        return cls(sparsity, start, kept, prior, scale, activations, memory)

    @property
    def follower(self) -> Callable[[GeneWise, Floats], None] | None:
        """What training tells of its steps, None where the method does not want to know."""
        return self.follow if self.sparsity.follows_steps else None

    @property
    def remembered(self) -> Params:
        """A copy of the memory."""
        return {name: value.clone() for name, value in (self.memory or {}).items()}

    def follow(self, model: GeneWise, gradients: Floats) -> None:
        """Tell the method of a step of training, with the gradients (edges + product edges,) of the model before it."""
        params = self._params(model)
        found = strength_gradients(model, gradients, strengths(model, self.activations))[self._linear]
        given = {"U_sums": torch.from_numpy(found)[None, None]}
        self.memory = self.sparsity.after_step(self._context(params, given))

    def prune(self, model: GeneWise, amount: float) -> NDArray[np.bool_]:
        """Return which edges stay (edges + product edges,) when a fraction of the linear ones is pruned by the method's score.

        A product stays while both of its genes keep an edge of their own to the same target (strong heredity), so that the
        linear edges alone say which genes a target depends on.
        """
        seen = self._context(self._params(model))
        masks, self.memory = self.sparsity.prune(seen.field, seen.params, seen.masks, seen.memory, amount, self.prior)
        kept = self.left.copy()
        kept[self._linear] = masks["U_sums"][0, 0].numpy()
        self.left = with_parents(model, kept)
        return self.left

    @cached_property
    def _linear(self) -> NDArray[np.int64]:
        return np.flatnonzero(self.start.weights.indices < len(self.start.bias))

    @cached_property
    def _edges(self) -> SparsePhoenix:
        matrix = self.start.weights.tocoo()
        target, regulator = matrix.row[self._linear], matrix.col[self._linear]
        return SparsePhoenix(len(self.start.bias), tuple(target.tolist()), tuple(regulator.tolist()))

    def _params(self, model: GeneWise) -> Params:
        rates = model.rates if self.scale is None else model.rates * self.scale / self.scale.mean()
        return {
            "U_sums": torch.from_numpy(strengths(model, self.activations)[self._linear])[None, None],
            "bias": torch.from_numpy(model.bias)[None],
            "v": torch.from_numpy(rates.astype(np.float32))[None],
        }

    def _context(self, params: Params, gradients: Params | None = None) -> Context:
        masks = {"U_sums": torch.from_numpy(self.left[self._linear])[None, None]}
        return Context(self._edges, params, masks, self.prior, self.memory or {}, gradients or {})


def typical_activations(trajectories: Trajectories) -> NDArray[np.float32]:
    """Return the root mean square of every gene's activation over all states of some trajectories, (genes,)."""
    seen = np.arange(trajectories.states.shape[1]) < trajectories.lengths[:, None]
    return np.asarray(np.sqrt((softsign(trajectories.states[seen]) ** 2).mean(axis=0)), dtype=np.float32)


def strengths(model: GeneWise, activations: NDArray[np.floating[Any]] | None = None) -> NDArray[np.float32]:
    r"""Return how strongly every edge acts (edges + product edges,).

    That is :math:`|w_{ij}| + \sum |w_{i,jk}| a_k` over the products of j with any k that act on i, a being typical
    activations; of product edges it is the weight itself.
    """
    size = np.abs(model.weights.data)
    found: NDArray[np.float32] = size.astype(np.float32)
    if activations is not None:
        found += _through_products(model, size, activations)
    return found


def strength_gradients(model: GeneWise, gradients: Floats, strength: NDArray[np.float32]) -> NDArray[np.float32]:
    r"""Return the derivative of the loss with respect to the strength of every edge (edges + product edges,).

    A stronger edge has all of its weights, those of its products among them, larger by the same factor: times the strength
    it is :math:`\sum w \, \partial L / \partial w` over them. `gradients` are those of the weights.
    """
    moved = gradients * model.weights.data
    moved = moved + _through_products(model, moved, np.ones(len(model.bias)))
    at_zero = strength == 0
    return np.asarray(np.where(at_zero, gradients, moved / np.where(at_zero, 1, strength)), dtype=np.float32)


def _through_products(
    model: GeneWise, values: NDArray[np.floating[Any]], activations: NDArray[np.floating[Any]]
) -> NDArray[np.float32]:
    """Return for every linear edge the sum of the values of its gene's products times the partners' activations, else 0."""
    genes = len(model.bias)
    found: NDArray[np.float32] = np.zeros(len(values), dtype=np.float32)
    if not len(model.pairs):
        return found
    every = sp.csr_array((values, model.weights.indices, model.weights.indptr), shape=model.weights.shape)
    first, second = model.pairs.T
    number = np.arange(len(model.pairs))
    partner = sp.csr_array(
        (
            np.concatenate([activations[second], activations[first]]),
            (np.tile(number, 2), np.concatenate([first, second])),
        ),
        shape=(len(model.pairs), genes),
    )
    through = sp.csr_array(every[:, genes:] @ partner)
    matrix = every.tocoo()
    linear = matrix.col < genes
    found[linear] = np.asarray(through[matrix.row[linear], matrix.col[linear]]).ravel().astype(np.float32)
    return found


def with_parents(model: GeneWise, kept: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the edges that stay when a product needs a linear edge of both of its genes."""
    genes = len(model.bias)
    matrix = model.weights.tocoo()
    product = np.flatnonzero(matrix.col >= genes)
    if not len(product):
        return kept
    linear = sp.csr_array((kept.astype(np.int8), model.weights.indices, model.weights.indptr), shape=matrix.shape)
    first, second = model.pairs[matrix.col[product] - genes].T
    row = matrix.row[product]
    whole = (np.asarray(linear[row, first]) != 0) & (np.asarray(linear[row, second]) != 0)
    found = kept.copy()
    found[product] &= whole.ravel()
    return found
