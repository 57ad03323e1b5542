"""One fit of cells: its settings chosen by folds, the model refitted on everything that is not test."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
import pandas as pd
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.parallel import spread_all
from scdash.dynamics.whole_trajectories.evaluation import Evaluated
from scdash.dynamics.whole_trajectories.folds import Fold
from scdash.dynamics.whole_trajectories.pruning import Candidate, dense_path, pruning_path, trained_after_pruning
from scdash.dynamics.whole_trajectories.selection import (
    Errors,
    best,
    chosen_level,
    clearly_better,
    within_one_standard_error,
)
from scdash.dynamics.whole_trajectories.start import Regressions, regression_start
from scdash.sparsity import Prior, Sparsity
from scdash.training.rollouts import GeneWise, Trajectories
from scdash.training.whole_trajectories import WholeTrajectories

CHOOSING_EPOCHS, CHOOSING_SPARSITY = "choosing epochs", "choosing the sparsity"
TRAINING_ON = "training after pruning"
FITTING = "fitting with the chosen settings"
# what a piece of each takes, in trainings of the dense model on one fold; measured on the myoblasts
COSTS = {CHOOSING_EPOCHS: 1.0, CHOOSING_SPARSITY: 1.0, TRAINING_ON: 0.3, FITTING: 1.3}
EPOCHS = (0, 30, 100)  # dense epochs to choose among
THREADED = 500  # genes: two threads took twice the CPU seconds of one at 150, as many at 600
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
    mixed_starts: tuple[bool, ...] = (False,)  # to choose among

    def uses_prior(self, weight: float) -> bool:
        """Return whether the prior takes part; a method that prunes by the prior alone uses it at any weight."""
        return self.prior is not None and (weight != 1 or self.sparsity.name == "bio")

    def dash_prior(self, weight: float) -> Prior | None:
        """Return the prior as scores take it, or None where it is not used."""
        if not self.uses_prior(weight):
            return None
        return Prior(abs(self.prior), self.coregulation, missing=self.missing)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Given:
    """Regressions that have been fitted already, to all trajectories and to those of every fold."""

    of_all: GeneWise
    of_folds: Sequence[GeneWise]
    prior_weight: float


def edges_of(start: GeneWise) -> int:
    """Return the number of edges that training begins with; those of weight 0 count."""
    return int((start.weights.indices < len(start.bias)).sum())


@dataclass(frozen=True)
class Choice:
    """The settings that held-out trajectories have chosen."""

    prior_weight: float  # 1: the prior is not used
    epochs: int  # dense epochs
    level: int  # rounds of pruning
    table: pd.DataFrame  # every setting that was looked at, with its edges, its mean error and that of every fold
    errors: Errors  # (folds,), relative errors of the chosen model
    start_errors: Errors  # (folds,), of the regression it starts from
    models: list[GeneWise]  # (folds,), the chosen model as each fold has learned it
    mixed_starts: bool = False  # see `WholeTrajectories`
    epochs_after: int = 0  # after the last round of pruning, see `AfterPruning`

    def applied_to(self, made_of: Ingredients) -> Ingredients:
        """Return ingredients whose training has the chosen starts."""
        return with_training(made_of, mixed_starts=self.mixed_starts)

    @property
    def gain(self) -> Errors:
        """Relative error of the regression that the chosen model starts from, less that of the model, (folds,)."""
        return self.start_errors - self.errors


def dense_candidates(
    made_of: Ingredients,
    trajectories: Trajectories,
    weight: float,
    epochs: tuple[int, ...],
    start: GeneWise | None = None,
) -> list[Candidate]:
    """Return the models of one training without pruning, at several numbers of epochs; `start` None: the regression.

    The learning rate falls over the largest number that may be chosen, whichever is asked for: a model that is trained
    with the chosen number is the one that was evaluated.
    """
    if start is None:
        start = regression_start(
            trajectories,
            prior=made_of.prior,
            prior_weight=weight,
            velocity_weight=made_of.settings.velocity_weight,
            regulators=made_of.regulators,
            regressions=made_of.regressions,
        )
    return dense_path(
        start,
        trajectories,
        made_of.settings,
        made_of.sparsity,
        made_of.dash_prior(weight),
        seed=made_of.seed,
        epochs=max(made_of.epochs),
        shown=epochs,
        scale=made_of.scale,
    )


def pruned_candidates(
    made_of: Ingredients,
    trajectories: Trajectories,
    weight: float,
    start: Candidate,
    last: int | None = None,
    whole: int | None = None,
) -> list[Candidate]:
    """Return the models of pruning in rounds, the unpruned one first; see `pruning_path` for `whole`."""
    return pruning_path(
        start,
        trajectories,
        made_of.settings,
        made_of.sparsity,
        made_of.dash_prior(weight),
        seed=made_of.seed + 1,
        last=last,
        scale=made_of.scale,
        whole=whole,
    )


@dataclass(frozen=True)
class DenseTrial:
    """Models of every fold without pruning, at several numbers of epochs."""

    weight: float  # of the prior
    mixed: bool  # whether starts are mixed
    paths: list[list[Candidate]]  # (folds,), each begins with the untrained one
    evaluated: Evaluated

    @property
    def starts(self) -> list[GeneWise]:
        """What training began with, (folds,)."""
        return [path[0].model for path in self.paths]

    @property
    def lowest(self) -> Errors:
        """Errors with the best number of epochs, (folds,)."""
        return np.asarray(self.evaluated.errors[best(self.evaluated.errors)])


def dense_trial(
    made_of: Ingredients,
    folds: Sequence[Fold],
    starts: Sequence[GeneWise] | None,
    weight: float,
    *,
    mixed: bool,
    progress: bool | None,
) -> DenseTrial:
    """Return models of every fold without pruning, and what the held-out trajectories say of them; see `dense_candidates`."""
    own = with_training(made_of, mixed_starts=mixed)
    known = [None] * len(folds) if starts is None else starts
    pieces = [(own, fold.train, weight, made_of.epochs, start) for fold, start in zip(folds, known, strict=True)]
    found = spread_all(dense_candidates, pieces, CHOOSING_EPOCHS, progress=progress, threads=in_threads(folds[0].train))
    return DenseTrial(weight, mixed, found, Evaluated.of(found, folds, made_of.settings.longest_step))


@dataclass(frozen=True)
class AfterPruning:
    """The chosen level as it was pruned, or trained on for as many epochs as before pruning where that clearly helps.

    Rounds are short. On halves of the same cells pruned models then predict the other half better; on other batches
    short rounds can be what keeps a model from following its own batches too closely.
    """

    models: list[GeneWise]  # (folds,)
    errors: Errors  # (folds,)
    epochs: int  # 0: as it was pruned
    evaluated: Evaluated | None  # of the models that were trained on; None: there was nothing to choose

    @classmethod
    def chosen(
        cls,
        made_of: Ingredients,
        folds: Sequence[Fold],
        pruned: Sequence[Candidate],
        errors: Errors,
        *,
        progress: bool | None,
    ) -> Self:
        """Compare both on the folds; `pruned` and `errors` (folds,) are of the chosen level."""
        epochs, as_pruned = pruned[0].epochs, [one.model for one in pruned]
        if not (epochs and pruned[0].level):
            return cls(as_pruned, errors, 0, None)
        pieces = [(made_of, fold.train, one, epochs) for fold, one in zip(folds, pruned, strict=True)]
        found = spread_all(trained_on, pieces, TRAINING_ON, progress=progress, threads=in_threads(folds[0].train))
        evaluated = Evaluated.of([[one] for one in found], folds, made_of.settings.longest_step)
        if not clearly_better(evaluated.errors[0], errors):
            return cls(as_pruned, errors, 0, evaluated)
        return cls([one.model for one in found], evaluated.errors[0], epochs, evaluated)


def trained_on(made_of: Ingredients, trajectories: Trajectories, pruned: Candidate, epochs: int) -> Candidate:
    """Return a pruned model after further epochs of training; 0: as it is."""
    if not epochs:
        return pruned
    return trained_after_pruning(
        pruned, trajectories, made_of.settings, epochs, seed=made_of.seed + 2, scale=made_of.scale
    )


def choose(
    made_of: Ingredients,
    folds: Sequence[Fold],
    *,
    first: DenseTrial | None = None,
    given: Given | None = None,
    progress: bool | None = None,
) -> Choice:
    """Return the weight of the prior, the starts, the epochs and the level of pruning that held-out trajectories choose.

    The prior is used only where it clearly lowers the error; see `chosen_level` for the level, and `AfterPruning` for the
    epochs that follow. Where regressions are `given`, so is the weight of the prior that they were fitted with, and the most
    epochs within one standard error are taken: such a start has edges that only training can use, and pruning remove.
    `first` is the training without a prior, with the first kind of starts, where it was made before.
    """
    weights = [1.0] if made_of.prior is None else [1.0, PRIOR_WEIGHT]
    weights = weights if given is None else [given.prior_weight]
    known = None if given is None else given.of_folds
    mixed = made_of.mixed_starts[0]
    tried = [
        first
        if first is not None and weight == first.weight
        else dense_trial(made_of, folds, known, weight, mixed=mixed, progress=progress)
        for weight in weights
    ]
    chosen = tried[0]
    if given is None and len(tried) > 1 and clearly_better(tried[1].lowest, chosen.lowest):
        chosen = tried[1]
    for mixed in made_of.mixed_starts[1:]:
        tried.append(dense_trial(made_of, folds, chosen.starts, chosen.weight, mixed=mixed, progress=progress))
        chosen = min(chosen, tried[-1], key=lambda one: float(one.lowest.mean()))
    place = best(chosen.evaluated.errors)
    if given is not None:
        near = within_one_standard_error(chosen.evaluated.errors, chosen.evaluated.cases)
        place = max(near, key=lambda row: chosen.paths[0][row].epochs)
    trained = [path[place] for path in chosen.paths]
    whole = None if given is None else edges_of(given.of_all)
    own = with_training(made_of, mixed_starts=chosen.mixed)
    to_prune = [(own, fold.train, chosen.weight, one, None, whole) for fold, one in zip(folds, trained, strict=True)]
    paths = spread_all(
        pruned_candidates, to_prune, CHOOSING_SPARSITY, progress=progress, threads=in_threads(folds[0].train)
    )
    pruned = Evaluated.of(paths, folds, made_of.settings.longest_step)
    level = chosen_level(folds[0].kind, pruned.errors, pruned.edges, None if given is None else pruned.cases)
    rows = [row for one in tried for row in one.evaluated.rows("dense", one.weight, mixed=one.mixed)]
    rows += pruned.rows("pruned", chosen.weight, mixed=chosen.mixed)
    last = AfterPruning.chosen(own, folds, [path[level] for path in paths], pruned.errors[level], progress=progress)
    if last.evaluated is not None:
        rows += last.evaluated.rows("trained after pruning", chosen.weight, mixed=chosen.mixed)
    return Choice(
        chosen.weight,
        trained[0].epochs,
        level,
        pd.DataFrame(rows),
        last.errors,
        chosen.evaluated.errors[0],
        last.models,
        chosen.mixed,
        last.epochs,
    )


def with_training(made_of: Ingredients, **changes: Any) -> Ingredients:
    """Return ingredients with other settings of training, such as its starts or the weight of measured velocities."""
    return replace(made_of, settings=replace(made_of.settings, **changes))


def in_threads(trajectories: Trajectories) -> bool:
    """Return whether fits are large enough to be made side by side in threads, which wait for each other for Python's lock."""
    return bool(trajectories.states.shape[2] >= THREADED)


def work_of(made_of: Ingredients, folds: int, models: int, trials: int = 1) -> dict[str, tuple[int, float]]:
    """Return what choosing settings and fitting with them takes, for the bar of the whole call: pieces, cost of each.

    `trials`: regressions that are trained from to choose among them.
    """
    dense = trials - 1 + (1 if made_of.prior is None else 2) + len(made_of.mixed_starts) - 1
    pieces = {CHOOSING_EPOCHS: dense * folds, CHOOSING_SPARSITY: folds, TRAINING_ON: folds, FITTING: models}
    return {name: (number, COSTS[name]) for name, number in pieces.items()}


def fit_chosen(
    made_of: Ingredients, trajectories: Trajectories, choice: Choice, start: GeneWise | None = None
) -> Candidate:
    """Return the model with settings that were chosen, fitted to some trajectories; `start` None: the regression."""
    own = choice.applied_to(made_of)
    dense = dense_candidates(own, trajectories, choice.prior_weight, (choice.epochs,), start)[-1]
    whole = None if start is None else edges_of(start)
    pruned = pruned_candidates(own, trajectories, choice.prior_weight, dense, choice.level, whole)[-1]
    return trained_on(own, trajectories, pruned, choice.epochs_after)
