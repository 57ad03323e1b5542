"""Null models: trained in the same way as the model on the same folds, each without the one thing that it tests.

Each begins with its own mean of regressions, is trained for the number of epochs that was chosen for the model and pruned
to the chosen level, and predicts the same held-out trajectories. The model without a network has no edges for which the
model's settings could be right: the rate that it begins with, and then its number of epochs, are chosen by the same folds.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.logging import expect
from scdash._core.parallel import spread_all
from scdash._core.types import Index
from scdash.dynamics.whole_trajectories.evaluation import held_out_error
from scdash.dynamics.whole_trajectories.folds import OTHER_HALF, Fold
from scdash.dynamics.whole_trajectories.one_fit import (
    Choice,
    Ingredients,
    choose,
    dense_candidates,
    fit_chosen,
    in_threads,
    work_of,
)
from scdash.dynamics.whole_trajectories.regression_choice import TRAINED, choose_regressions, regression_work
from scdash.dynamics.whole_trajectories.selection import Errors, best
from scdash.training.rollouts import Trajectories

NO_NETWORK = "no network"
NULL_MODELS, WITHOUT_NETWORK = "null models", "the model without a network"
RANDOM, SHUFFLED_PRIOR, SHUFFLED_TIME = "random regulators", "shuffled prior", "shuffled time"
RANDOM_SETS, SHUFFLED_PRIORS = 4, 4
NO_EDGES = 1e6  # a penalty under which no edge is left
SLOW = 0.25  # of the slowest rate of the regressions: genes without a network may have to drift to follow a trajectory


@dataclass(frozen=True)
class NullModel:
    """What one null model is made of: the model's ingredients but for one."""

    name: str
    made_of: Ingredients
    shuffles_time: bool = False  # of the trajectories that it learns from


def null_models(made_of: Ingredients, choice: Choice, genes: int, rng: np.random.Generator) -> list[NullModel]:
    """Return random regulators, shuffled priors and shuffled time.

    What is not tested is left out: random regulators where every gene may regulate, and shuffled priors where there is no
    prior or the model does not use it. Random regulators take the place of the real ones in a prior that is used.
    """
    found = []
    known = np.arange(genes) if made_of.regulators is None else np.unique(made_of.regulators)
    for k, drawn in enumerate(random_regulators(known, genes, rng, number=RANDOM_SETS)):
        prior = None if made_of.prior is None else renamed(made_of.prior, known, rng.permutation(drawn))
        found.append(NullModel(f"{RANDOM} {k + 1}", replace(made_of, regulators=drawn, prior=prior)))
    used = made_of.prior if made_of.uses_prior(choice.prior_weight) else None
    for k, prior in enumerate(
        [] if used is None else shuffled_priors(used, made_of.regulators, rng, number=SHUFFLED_PRIORS)
    ):
        found.append(NullModel(f"{SHUFFLED_PRIOR} {k + 1}", replace(made_of, prior=prior)))
    found.append(NullModel(SHUFFLED_TIME, made_of, shuffles_time=True))
    return found


def renamed(prior: sp.csr_matrix, regulators: NDArray[np.int64], names: NDArray[np.int64]) -> sp.csr_matrix:
    """Return the edges of some regulators in a prior (target, regulator) as edges of other genes; no gene acts on itself."""
    entries = sp.coo_matrix(prior)
    place = np.searchsorted(regulators, entries.col)
    known = regulators[np.minimum(place, len(regulators) - 1)] == entries.col
    source = names[np.minimum(place, len(regulators) - 1)]
    kept = known & (source != entries.row)
    return sp.csr_matrix((entries.data[kept], (entries.row[kept], source[kept])), shape=entries.shape)


def shuffled_in_time(trajectories: Trajectories, seed: int) -> Trajectories:
    """Return trajectories whose states are in random order, each in its own, as are velocities among theirs."""
    rng = np.random.default_rng(seed)
    states = trajectories.states.copy()
    for trajectory, length in enumerate(trajectories.lengths):
        states[trajectory, :length] = states[trajectory, rng.permutation(length)]
        states[trajectory, length:] = states[trajectory, length - 1]
    if trajectories.velocity is None:
        return replace(trajectories, states=states)
    rows = trajectories.velocity
    mixed = replace(rows, velocities=rows.velocities[rng.permutation(len(rows))])
    return replace(trajectories, states=states, velocity=mixed)


def learned_from(null: NullModel, trajectories: Trajectories) -> Trajectories:
    """Return what a null model learns from."""
    return shuffled_in_time(trajectories, null.made_of.seed) if null.shuffles_time else trajectories


def null_model_errors(
    made_of: Ingredients,  # ingredients of the model
    choice: Choice,  # what held-out trajectories have chosen for it
    folds: Sequence[Fold],  # what the model was chosen, and is evaluated, by
    *,
    anew: bool = False,
    progress: bool | None = None,  # show progress bars
) -> dict[str, Errors]:
    """Return the relative errors of every null model, (folds,) each, on the trajectories that the model is evaluated by.

    `anew`: choose epochs, level and weight of the prior for each null model as it was done for the model, which takes
    as many times the model's own time as there are null models.

    The result is the errors by name; NaN on folds on which a null model was not fitted (`folds_for`).
    """
    nulls = null_models(made_of, choice, folds[0].train.states.shape[2], np.random.default_rng([made_of.seed, 3]))
    expect(null_work_of(made_of, folds, nulls, anew=anew))
    found = {NO_NETWORK: no_network_errors(choice.applied_to(made_of), folds, progress=progress)}
    if anew:
        for null in nulls:
            own = [replace(fold, train=learned_from(null, fold.train)) for fold in folds]
            started = choose_regressions(null.made_of, own, progress=progress)
            found[null.name] = choose(started.made_of, own, first=started.trial, progress=progress).errors
        return found
    places = [(null, fold) for number, null in enumerate(nulls) for fold in folds_for(null, number, folds)]
    pieces = [(null, folds[fold], choice) for null, fold in places]
    errors = {null.name: np.full(len(folds), np.nan) for null in nulls}
    for (null, fold), error in zip(
        places,
        spread_all(_error, pieces, NULL_MODELS, progress=progress, threads=in_threads(folds[0].train)),
        strict=True,
    ):
        errors[null.name][fold] = error
    return found | errors


def null_work_of(
    made_of: Ingredients, folds: Sequence[Fold], nulls: Sequence[NullModel], *, anew: bool
) -> dict[str, tuple[int, float]]:
    """Return what null models take, for the bar of the whole call; the unit is that of `whole_fit.work_of`.

    Of the openings for the model without a network only the last trains for more than a moment.
    """
    openings = (len(without_network(made_of)) + 1) * len(folds)
    found = {WITHOUT_NETWORK: (openings, 0.35 * len(folds) / openings)}
    if anew:
        once = regression_work(len(folds)) | work_of(made_of, len(folds), 0, TRAINED)
        return found | {name: (len(nulls) * number, cost) for name, (number, cost) in once.items()}
    pieces = sum(len(folds_for(null, number, folds)) for number, null in enumerate(nulls))
    return found | {NULL_MODELS: (pieces, 1.0)}


def folds_for(null: NullModel, number: int, folds: Sequence[Fold]) -> list[int]:
    """Return the folds on which a null model is fitted.

    All of them where trajectories were left out. Halves of the same cells differ far less than null models of a kind do:
    each is fitted on one of them, by turns, and the single one of its kind (shuffled time) on two.
    """
    if folds[0].kind != OTHER_HALF:
        return list(range(len(folds)))
    return [0, 1][: len(folds)] if null.shuffles_time else [number % len(folds)]


def _error(null: NullModel, fold: Fold, choice: Choice) -> float:
    fitted = fit_chosen(null.made_of, learned_from(null, fold.train), choice)
    return held_out_error(fitted.model, fold)


def no_network_errors(made_of: Ingredients, folds: Sequence[Fold], *, progress: bool | None = None) -> Errors:
    """Return the errors of genes that relax without any regulator, (folds,), with the best start and number of epochs."""
    starts = without_network(made_of)
    begun = np.concatenate([_path_errors(alone, (0,), folds, progress=progress) for alone in starts])
    trained = _path_errors(starts[best(begun)], made_of.epochs, folds, progress=progress)
    return np.asarray(trained[best(trained)])


def _path_errors(
    made_of: Ingredients, epochs: tuple[int, ...], folds: Sequence[Fold], *, progress: bool | None
) -> Errors:
    """Return the errors of a model without pruning at several numbers of epochs, (epochs, folds)."""
    pieces = [(made_of, fold.train, 1.0, epochs) for fold in folds]
    paths = spread_all(dense_candidates, pieces, WITHOUT_NETWORK, progress=progress, threads=in_threads(folds[0].train))
    found = [[held_out_error(one.model, fold) for one in path] for path, fold in zip(paths, folds, strict=True)]
    return np.array(found).T


def without_network(made_of: Ingredients) -> list[Ingredients]:
    """Return the ingredients under a penalty that leaves no edge: genes with a bias and a rate each.

    They begin with the mean of the regressions, as the model does, or with the regressions at one rate.
    """
    own = made_of.regressions
    rates = [own.rates, *((rate,) for rate in (SLOW * min(own.rates), *own.rates))]
    alone = [replace(own, lambdas=(NO_EDGES,), averaged=1, rates=chosen) for chosen in rates]
    return [replace(made_of, prior=None, regulators=np.zeros(1, dtype=np.int64), regressions=one) for one in alone]


def random_regulators(regulators: Index, genes: int, rng: np.random.Generator, *, number: int = 4) -> list[Index]:
    """Return sets of as many genes as there are regulators, none of them a regulator where enough others exist.

    Where they do not, sets are drawn from all genes; where every gene is a regulator there is nothing to draw.
    """
    known = np.unique(regulators)
    if not 0 < len(known) < genes:
        return []
    others = np.setdiff1d(np.arange(genes), known)
    pool = others if len(others) >= len(known) else np.arange(genes)
    return [np.sort(rng.choice(pool, len(known), replace=False)) for _ in range(number)]


def shuffle_labels(prior: sp.csr_matrix, regulators: Index | None, rng: np.random.Generator) -> sp.csr_matrix:
    """Permute the names of the genes of a prior (target, regulator), regulators among regulators.

    Numbers of targets and of regulators, and all structure, are kept; only whose they are is not. `regulators` None:
    the genes that regulate in the prior.
    """
    entries = sp.coo_matrix(prior)
    known = np.unique(entries.col if regulators is None else np.asarray(regulators))
    name = np.arange(entries.shape[0])
    for group in (known, np.setdiff1d(name, known)):
        name[group] = rng.permutation(group)
    return sp.csr_matrix((entries.data, (name[entries.row], name[entries.col])), shape=entries.shape)


def shuffled_priors(
    prior: sp.csr_matrix, regulators: Index | None, rng: np.random.Generator, *, number: int, tries: int = 20
) -> list[sp.csr_matrix]:
    """Return priors with permuted names (`shuffle_labels`), none of them with the edges of the real one.

    Fewer than `number` where permutations hardly ever change the edges, as for a prior that lists all pairs.
    """
    real = sp.csr_matrix(prior).astype(bool)
    drawn = (shuffle_labels(prior, regulators, rng) for _ in range(number * tries))
    return list(islice((one for one in drawn if (one.astype(bool) != real).nnz), number))
