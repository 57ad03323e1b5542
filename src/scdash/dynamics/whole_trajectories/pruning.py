"""Pruning of a gene-wise PHOENIX in rounds, by the score of any sparsity method, with training after each round."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash.fields import SparsePhoenix
from scdash.regression import softsign
from scdash.sparsity import GeometricSchedule, Prior, Sparsity
from scdash.training.loop import Callback
from scdash.training.rollouts import GeneWise, Trajectories
from scdash.training.whole_trajectories import Trainer, WholeTrajectories

# Eight levels from all edges of the start down to 2 % of them.
ROUNDS = GeometricSchedule(first=0.4, first_epoch=0, then=0.4, every=20, until=0.98)
# Small steps hurt less: twelve levels, down to 9 % of the edges. For states, which start from a network of few edges, and for
# a single trajectory of cells: 2,750 edges of the myoblasts have a held-out error of 0.340, 2,655 after steps of 40 % one of 0.368.
SMALL_ROUNDS = GeometricSchedule(first=0.2, first_epoch=0, then=0.2, every=20, until=0.93)
# Thousands of genes: four levels.
ROUNDS_OF_GENOMES = GeometricSchedule(first=0.4, first_epoch=0, then=0.4, every=10, until=0.87)


@dataclass(frozen=True)
class Candidate:
    """One model of a path, from which held-out trajectories choose."""

    epochs: int  # dense epochs before the first pruning
    level: int  # rounds of pruning
    model: GeneWise
    losses: list[float] = field(default_factory=list)  # training error of every epoch so far
    sizes: list[int] = field(default_factory=list)  # edges left in every epoch so far

    @property
    def edges(self) -> int:
        """Number of edges, without the products of their regulators."""
        matrix = self.model.weights
        return int(np.count_nonzero(matrix.data[matrix.indices < len(self.model.bias)]))


def kept_edges(
    model: GeneWise,
    sparsity: Sparsity,
    amount: float,
    prior: Prior | None,
    left: NDArray[np.bool_],
    scale: NDArray[np.floating[Any]] | None = None,
    activations: NDArray[np.floating[Any]] | None = None,
) -> NDArray[np.bool_]:
    """Return which edges stay (edges + product edges,) when a share of the linear ones is pruned by the method's score.

    A product stays while both of its genes keep an edge of their own to the same target (strong heredity), so that the
    linear edges alone say which genes a target depends on. `scale` (genes,) is the unit of every gene: effects on
    dx/dt are compared in units of the data, since ranges of genes that hardly change are mostly noise. `activations`
    (genes,), see `typical_activations`, weigh what an edge does through products.
    """
    genes = len(model.bias)
    matrix = model.weights.tocoo()
    linear = np.flatnonzero(matrix.col < genes)
    target, regulator = matrix.row[linear], matrix.col[linear]
    edges = SparsePhoenix(genes, tuple(target.tolist()), tuple(regulator.tolist()))
    rates = model.rates if scale is None else model.rates * scale / scale.mean()
    params = {
        "U_sums": torch.from_numpy(strengths(model, activations)[linear])[None, None],
        "bias": torch.from_numpy(model.bias)[None],
        "v": torch.from_numpy(rates.astype(np.float32))[None],
    }
    masks = {"U_sums": torch.from_numpy(left[linear])[None, None]}
    memory = sparsity.start(edges, params, torch.Generator().manual_seed(0))
    masks, _ = sparsity.prune(edges, params, masks, memory, amount, prior)
    kept = left.copy()
    kept[linear] = masks["U_sums"][0, 0].numpy()
    return with_parents(model, kept)


def typical_activations(trajectories: Trajectories) -> NDArray[np.float32]:
    """Return the root mean square of every gene's activation over all states of some trajectories, (genes,)."""
    seen = np.arange(trajectories.states.shape[1]) < trajectories.lengths[:, None]
    return np.asarray(np.sqrt((softsign(trajectories.states[seen]) ** 2).mean(axis=0)), dtype=np.float32)


def strengths(model: GeneWise, activations: NDArray[np.floating[Any]] | None = None) -> NDArray[np.float32]:
    r"""Return how strongly every edge acts (edges + product edges,).

    That is :math:`|w_{ij}| + \sum |w_{i,jk}| a_k` over the products of j with any k that act on i, a being typical
    activations; of product edges it is the weight itself.
    """
    size, genes = np.abs(model.weights.data), len(model.bias)
    if not len(model.pairs) or activations is None:
        return np.asarray(size, dtype=np.float32)
    absolute = sp.csr_array((size, model.weights.indices, model.weights.indptr), shape=model.weights.shape)
    first, second = model.pairs.T
    number = np.arange(len(model.pairs))
    partner = sp.csr_array(
        (
            np.concatenate([activations[second], activations[first]]),
            (np.tile(number, 2), np.concatenate([first, second])),
        ),
        shape=(len(model.pairs), genes),
    )
    through = sp.csr_array(absolute[:, genes:] @ partner)
    matrix = absolute.tocoo()
    linear = matrix.col < genes
    found: NDArray[np.float32] = size.astype(np.float32)
    found[linear] += np.asarray(through[matrix.row[linear], matrix.col[linear]]).ravel().astype(np.float32)
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


def dense_path(trainer: Trainer, epochs: int, shown: tuple[int, ...]) -> list[Candidate]:
    """Train without pruning towards some number of epochs, and return the models at the epochs `shown` (0 is the start).

    Training ends at the last that is shown, on a schedule that would have gone on: a model is the same whether or not
    later ones were looked at.
    """
    found = [Candidate(0, 0, trainer.model)] if 0 in shown else []
    if max(shown):
        trainer.train(epochs, [_Shown(trainer, shown, found)])
    return found


@dataclass
class _Shown(Callback):
    """Keep the models at some epochs, and end training at the last of them."""

    trainer: Trainer
    shown: tuple[int, ...]
    found: list[Candidate]

    def after(self, epoch: int) -> bool:
        """Keep the model if it is to be shown."""
        trainer = self.trainer
        if epoch in self.shown:
            self.found.append(Candidate(epoch, 0, trainer.model, list(trainer.losses), list(trainer.sizes)))
        return epoch == max(self.shown)


def pruning_path(
    start: Candidate,
    trajectories: Trajectories,
    settings: WholeTrajectories,
    sparsity: Sparsity,
    prior: Prior | None,
    *,
    seed: int,
    last: int | None = None,
    scale: NDArray[np.floating[Any]] | None = None,
    whole: int | None = None,
) -> list[Candidate]:
    """Prune a model in rounds, train on after each, and return the model at the end of every round.

    The first candidate is the start itself. Where the start was not trained (0 dense epochs were chosen) it is not trained
    between the rounds either. `last` ends the path after that many rounds. Rounds remove fractions of `whole` edges, by
    default of the start's own: with that of the final model the same round leaves as many edges in every fold.
    """
    found = [start]
    if sparsity.score is None:
        return found
    trainer = Trainer(start.model, trajectories, settings, seed, scale)
    left = start.model.weights.data != 0
    rounds = round_lengths(sparsity.schedule)[:last]
    activations = typical_activations(trajectories) if len(start.model.pairs) else None
    linear, goal = start.model.weights.indices < len(start.model.bias), float(whole or start.edges)
    for level, (fraction, epochs) in enumerate(rounds, start=1):
        goal *= 1 - fraction
        amount = 1 - min(goal / max(int(np.count_nonzero(left & linear)), 1), 1.0)
        left = kept_edges(trainer.model, sparsity, amount, prior, left, scale, activations)
        trainer.prune(left)
        if start.epochs:
            trainer.train(epochs)
        found.append(
            Candidate(start.epochs, level, trainer.model, start.losses + trainer.losses, start.sizes + trainer.sizes)
        )
    return found


def round_lengths(schedule: GeometricSchedule, longest: int = 200) -> list[tuple[float, int]]:
    """Return the share of the remaining edges that every round removes, and the epochs until the next one."""
    due = [epoch for epoch in range(longest + 1) if schedule.amount(epoch) > 1e-9]
    return [
        (schedule.amount(epoch), following - epoch)
        for epoch, following in zip(due, [*due[1:], due[-1] + schedule.every] if due else [], strict=True)
    ]
