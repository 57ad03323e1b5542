"""Pruning of a gene-wise PHOENIX in rounds, by the score of any sparsity method, with training after each round."""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash.dynamics.whole_trajectories.edge_pruning import EdgePruning
from scdash.fields import Params
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
    memory: Params | None = None  # of the sparsity method; None: as before training

    @property
    def edges(self) -> int:
        """Number of edges, without the products of their regulators."""
        matrix = self.model.weights
        return int(np.count_nonzero(matrix.data[matrix.indices < len(self.model.bias)]))


def dense_path(
    start: GeneWise,
    trajectories: Trajectories,
    settings: WholeTrajectories,
    sparsity: Sparsity,
    prior: Prior | None,
    *,
    seed: int,
    epochs: int,
    shown: tuple[int, ...],
    scale: NDArray[np.floating[Any]] | None = None,
) -> list[Candidate]:
    """Train without pruning towards some number of epochs, and return the models at the epochs `shown` (0 is the start).

    Training ends at the last that is shown, on a schedule that would have gone on: a model is the same whether or not
    later ones were looked at. A sparsity method that follows the steps of training does so from here on.
    """
    method = EdgePruning.of(start, sparsity, trajectories, prior, scale, left=np.ones(len(start.weights.data), bool))
    trainer = Trainer(start, trajectories, settings, seed, scale, method.follower)
    found = [Candidate(0, 0, start, memory=method.remembered)] if 0 in shown else []
    if max(shown):
        trainer.train(epochs, [_Shown(trainer, method, shown, found)])
    return found


@dataclass
class _Shown(Callback):
    """Keep the models at some epochs, and end training at the last of them."""

    trainer: Trainer
    method: EdgePruning
    shown: tuple[int, ...]
    found: list[Candidate]

    def after(self, epoch: int) -> bool:
        """Keep the model if it is to be shown."""
        trainer = self.trainer
        if epoch in self.shown:
            losses, sizes = list(trainer.losses), list(trainer.sizes)
            self.found.append(Candidate(epoch, 0, trainer.model, losses, sizes, self.method.remembered))
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
    method = EdgePruning.of(start.model, sparsity, trajectories, prior, scale, memory=start.memory)
    trainer = Trainer(start.model, trajectories, settings, seed, scale, method.follower)
    rounds = round_lengths(sparsity.schedule)[:last]
    linear, goal = start.model.weights.indices < len(start.model.bias), float(whole or start.edges)
    for level, (fraction, epochs) in enumerate(rounds, start=1):
        goal *= 1 - fraction
        amount = 1 - min(goal / max(int(np.count_nonzero(method.left & linear)), 1), 1.0)
        if not start.epochs:
            trainer.look()
        trainer.prune(method.prune(trainer.model, amount))
        if start.epochs:
            trainer.train(epochs)
        found.append(
            Candidate(start.epochs, level, trainer.model, start.losses + trainer.losses, start.sizes + trainer.sizes)
        )
    return found


def trained_after_pruning(
    pruned: Candidate,
    trajectories: Trajectories,
    settings: WholeTrajectories,
    epochs: int,
    *,
    seed: int,
    scale: NDArray[np.floating[Any]] | None = None,
) -> Candidate:
    """Return a pruned model after further epochs on one falling learning rate, without another round of pruning."""
    trainer = Trainer(pruned.model, trajectories, settings, seed, scale)
    trainer.prune(pruned.model.weights.data != 0)
    trainer.train(epochs)
    return replace(
        pruned, model=trainer.model, losses=pruned.losses + trainer.losses, sizes=pruned.sizes + trainer.sizes
    )


def round_lengths(schedule: GeometricSchedule, longest: int = 200) -> list[tuple[float, int]]:
    """Return the fraction of the remaining edges that every round removes, and the epochs until the next one."""
    due = [epoch for epoch in range(longest + 1) if schedule.amount(epoch) > 1e-9]
    return [
        (schedule.amount(epoch), following - epoch)
        for epoch, following in zip(due, [*due[1:], due[-1] + schedule.every] if due else [], strict=True)
    ]
