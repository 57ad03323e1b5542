"""One fit of cells: its settings chosen by folds, the model refitted on everything that is not test."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._parallel import spread_all
from scdash.dynamics.folds import Fold
from scdash.dynamics.pruning import Candidate, dense_path, pruning_path
from scdash.dynamics.selection import Errors, best, clearly_better, sparsest_within_one_standard_error
from scdash.dynamics.start import Regressions, regression_start
from scdash.sparsity import Prior, Sparsity
from scdash.training.whole_trajectories import Courses, GeneWise, Trainer, WholeTrajectories, errors_from_start

EPOCHS = (0, 30, 100)  # dense epochs to choose among
PRIOR_WEIGHT = 5.0  # edges of a prior that is used pay a fifth of the penalty


@dataclass(frozen=True)
class Ingredients:
    """What a model, or a null model, is made of."""

    sparsity: Sparsity
    prior: sp.csr_matrix | None = None  # (target, regulator)
    regulators: NDArray[np.int64] | None = None
    coregulation: sp.csr_matrix | None = None
    missing: str = "mean"
    settings: WholeTrajectories = field(default_factory=lambda: WholeTrajectories(learning_rate=1e-2))
    epochs: tuple[int, ...] = EPOCHS
    seed: int = 0
    scale: NDArray[np.floating[Any]] | None = None  # (genes,), unit of every gene in the data
    regressions: Regressions = field(default_factory=Regressions)

    def uses_prior(self, weight: float) -> bool:
        """Return whether the prior takes part; a method that prunes by the prior alone uses it at any weight."""
        return self.prior is not None and (weight != 1 or self.sparsity.name == "bio")

    def dash_prior(self, weight: float) -> Prior | None:
        """Return the prior as DASH takes it, or None where it is not used."""
        if not self.uses_prior(weight):
            return None
        return Prior(abs(self.prior), self.coregulation, missing=self.missing)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Choice:
    """The settings that held-out trajectories have chosen."""

    prior_weight: float  # 1: the prior is not used
    epochs: int  # dense epochs
    level: int  # rounds of pruning
    table: pd.DataFrame  # every setting that was looked at: stage, prior_weight, epochs, level, edges, error, by fold
    errors: Errors  # (folds,), relative errors of the chosen model
    start_errors: Errors  # (folds,), of the regression it starts from
    models: list[GeneWise]  # (folds,), the chosen model as each fold has learned it

    @property
    def gain(self) -> Errors:
        """Relative error of the regression that the chosen model starts from, less that of the model, (folds,)."""
        return self.start_errors - self.errors


def dense_candidates(made_of: Ingredients, courses: Courses, weight: float, epochs: tuple[int, ...]) -> list[Candidate]:
    """Return the models of one training without pruning, at several numbers of epochs.

    The learning rate falls over the largest number that may be chosen, whichever is asked for: a model that is trained
    with the chosen number is the one that was judged.
    """
    start = regression_start(
        courses,
        prior=made_of.prior,
        prior_weight=weight,
        regulators=made_of.regulators,
        regressions=made_of.regressions,
    )
    trainer = Trainer(start, courses, made_of.settings, made_of.seed, made_of.scale)
    return dense_path(trainer, max(made_of.epochs), epochs)


def pruned_candidates(
    made_of: Ingredients, courses: Courses, weight: float, start: Candidate, last: int | None = None
) -> list[Candidate]:
    """Return the models of pruning in rounds, the unpruned one first."""
    return pruning_path(
        start,
        courses,
        made_of.settings,
        made_of.sparsity,
        made_of.dash_prior(weight),
        seed=made_of.seed + 1,
        last=last,
        scale=made_of.scale,
    )


def held_out_error(model: GeneWise, fold: Fold) -> float:
    """Return the mean squared error of the held-out trajectories from their first states, over that of the mean."""
    with np.errstate(over="ignore", invalid="ignore"):
        error = float(errors_from_start(model, fold.held, fold.start, fold.weights).mean() / fold.constant_error)
    return error if np.isfinite(error) else float("inf")


def choose(made_of: Ingredients, folds: Sequence[Fold], *, progress: bool | None = None) -> Choice:
    """Return the weight of the prior, the epochs and the level of pruning that held-out trajectories choose.

    The prior is used only where it clearly lowers the error; the level is the sparsest within one standard error.
    """
    weights = [1.0] if made_of.prior is None else [1.0, PRIOR_WEIGHT]
    pieces = [(made_of, fold.train, weight, made_of.epochs) for weight in weights for fold in folds]
    found = spread_all(dense_candidates, pieces, "choosing epochs", progress=progress)
    dense = {w: found[k * len(folds) : (k + 1) * len(folds)] for k, w in enumerate(weights)}
    rows: list[dict[str, Any]] = []

    def errors(stage: str, weight: float, paths: list[list[Candidate]]) -> Errors:
        matrix = np.array(
            [[held_out_error(one.model, fold) for one in path] for path, fold in zip(paths, folds, strict=True)]
        )
        for number, one in enumerate(paths[0]):
            row = {"stage": stage, "prior_weight": weight, "epochs": one.epochs, "level": one.level}
            row |= {"edges": int(np.median([path[number].edges for path in paths]))}
            row |= {"error": float(matrix[:, number].mean())}
            rows.append(row | {f"fold {k + 1}": value for k, value in enumerate(matrix[:, number])})
        return matrix.T

    table = {weight: errors("dense", weight, dense[weight]) for weight in weights}
    weight, place = 1.0, best(table[1.0])
    if len(weights) > 1:
        other = best(table[PRIOR_WEIGHT])
        if clearly_better(table[PRIOR_WEIGHT][other], table[1.0][place]):
            weight, place = PRIOR_WEIGHT, other
    starts = [path[place] for path in dense[weight]]
    pieces_pruned = [(made_of, fold.train, weight, start) for fold, start in zip(folds, starts, strict=True)]
    pruned = spread_all(pruned_candidates, pieces_pruned, "choosing the sparsity", progress=progress)
    matrix = errors("pruned", weight, pruned)
    edges = np.array([[one.edges for one in path] for path in pruned]).T.mean(axis=1).astype(np.int64)
    level = sparsest_within_one_standard_error(matrix, edges)
    begun = table[weight][[one.epochs for one in dense[weight][0]].index(0)]
    models = [path[level].model for path in pruned]
    return Choice(weight, starts[0].epochs, level, pd.DataFrame(rows), matrix[level], begun, models)


def fit_chosen(made_of: Ingredients, courses: Courses, choice: Choice) -> Candidate:
    """Return the model with settings that were chosen, fitted to some trajectories."""
    dense = dense_candidates(made_of, courses, choice.prior_weight, (choice.epochs,))[-1]
    return pruned_candidates(made_of, courses, choice.prior_weight, dense, choice.level)[-1]
