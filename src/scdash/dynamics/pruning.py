"""Pruning of a gene-wise PHOENIX in rounds, by the score of any sparsity method, with training after each round."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash.fields import SparsePhoenix
from scdash.sparsity import GeometricSchedule, Prior, Sparsity
from scdash.training.whole_trajectories import Courses, GeneWise, Trainer, WholeTrajectories

# Eight levels from all edges of the start down to 2 % of them.
ROUNDS = GeometricSchedule(first=0.4, first_epoch=0, then=0.4, every=20, until=0.98)


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
        """Number of edges."""
        return int(np.count_nonzero(self.model.weights.data))


def kept_edges(
    model: GeneWise,
    sparsity: Sparsity,
    amount: float,
    prior: Prior | None,
    left: NDArray[np.bool_],
    scale: NDArray[np.floating[Any]] | None = None,
) -> NDArray[np.bool_]:
    """Return which edges stay (edges + product edges,) when a share of the linear ones is pruned by the method's score.

    A product stays while both of its genes keep an edge of their own to the same target (strong heredity), so that the
    linear edges alone say which genes a target depends on. `scale` (genes,) is the unit of every gene: effects on
    dx/dt are compared in units of the data, since ranges of genes that hardly change are mostly noise.
    """
    genes = len(model.bias)
    matrix = model.weights.tocoo()
    linear = np.flatnonzero(matrix.col < genes)
    target, regulator = matrix.row[linear], matrix.col[linear]
    edges = SparsePhoenix(genes, tuple(target.tolist()), tuple(regulator.tolist()))
    rates = model.rates if scale is None else model.rates * scale / scale.mean()
    params = {
        "U_sums": torch.from_numpy(matrix.data[linear].copy())[None, None],
        "bias": torch.from_numpy(model.bias)[None],
        "v": torch.from_numpy(rates.astype(np.float32))[None],
    }
    masks = {"U_sums": torch.from_numpy(left[linear])[None, None]}
    memory = sparsity.start(edges, params, torch.Generator().manual_seed(0))
    masks, _ = sparsity.prune(edges, params, masks, memory, amount, prior)
    kept = left.copy()
    kept[linear] = masks["U_sums"][0, 0].numpy()
    return with_parents(model, kept)


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
    """Train without pruning, and return the models at the epochs `shown` (0 is the start); training ends at the last.

    `epochs` is the length of the schedule of the learning rate, so that a model is the same whether or not it is trained on.
    """
    found = [Candidate(0, 0, trainer.model)] if 0 in shown else []
    if max(shown) == 0:
        return found
    for epoch in trainer.epochs(epochs):
        if epoch in shown:
            found.append(Candidate(epoch, 0, trainer.model, list(trainer.losses), list(trainer.sizes)))
        if epoch == max(shown):
            break
    return found


def pruning_path(
    start: Candidate,
    courses: Courses,
    settings: WholeTrajectories,
    sparsity: Sparsity,
    prior: Prior | None,
    *,
    seed: int,
    last: int | None = None,
    scale: NDArray[np.floating[Any]] | None = None,
) -> list[Candidate]:
    """Prune a model in rounds, train on after each, and return the model at the end of every round.

    The first candidate is the start itself. Where the start was not trained (0 dense epochs were chosen) it is not trained
    between the rounds either. `last` ends the path after that many rounds.
    """
    found = [start]
    if sparsity.score is None:
        return found
    trainer = Trainer(start.model, courses, settings, seed, scale)
    left = start.model.weights.data != 0
    rounds = round_lengths(sparsity.schedule)[:last]
    for level, (amount, epochs) in enumerate(rounds, start=1):
        left = kept_edges(trainer.model, sparsity, amount, prior, left, scale)
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
