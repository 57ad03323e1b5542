"""Fits that start from the regression: trained on whole trajectories, pruned in rounds, chosen by folds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash._parallel import spread_all
from scdash.dynamics.folds import courses_of, is_test, make_folds
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.pruning import Candidate
from scdash.dynamics.states import everything_of, folds_of_states, start_of
from scdash.dynamics.whole_fit import Choice, Given, Ingredients, choose, fit_chosen
from scdash.fields import Params, Phoenix, SparsePhoenix, VectorField
from scdash.matching import TransitionFit
from scdash.sparsity import Sparsity
from scdash.training.rollouts import Courses, GeneWise, longest_accurate_step, step_error
from scdash.training.whole_trajectories import WholeTrajectories

LISTED = 4_000_000  # pairs of genes above which a network is stored as a list of edges, without products of regulators


@dataclass(frozen=True)
class Followed:
    """What training on whole trajectories gave; the first model is the main one, the others are its replicates."""

    candidates: list[Candidate]
    choice: Choice
    judged_by: str  # what the folds left out
    gain: NDArray[np.float64]  # (folds,), by how much the relative error is below that of the regression it began with
    step_error: float  # of training's solver, relative to the change over an interval


def follow(
    problem: FitProblem,
    sparsity: Sparsity,
    priors: Sequence[sp.csr_matrix | None],
    fits: Sequence[TransitionFit] = (),
    *,
    settings: WholeTrajectories,
    epochs: tuple[int, ...],
    missing: str,
    seed: int,
    progress: bool | None = None,
) -> Followed | None:
    """Return models that were trained on whole trajectories, or None where nothing could be left out to choose them by.

    Parameters
    ----------
    problem
        Trajectories of cells, or of states.
    sparsity
        A method that scores weights, or none; its schedule counts epochs from the end of the dense training.
    priors
        The prior of every model, for replicates with parts of it hidden.
    fits
        Of states: the regression of every model, which has the folds and where they start.
    settings
        Of training.
    epochs
        Numbers of dense epochs to choose among.
    missing
        What DASH gives targets without an edge in the prior.
    seed
        Of the first model; replicates take the following ones.
    progress
        Show progress bars.
    """
    parts = [fit.parts for fit in fits]
    folds = folds_of_states(fits[0]) if parts else make_folds(problem)
    if not folds:
        return None
    everything = everything_of(fits[0]) if parts else courses_of(problem.series, ~is_test(problem.series))
    given = None
    if parts:
        first, *others = (start_of(part) for part in parts[0])
        given = Given(first, others, fits[0].prior_weight)
        settings = in_units_of_slope_one(settings, fits[0].slope, first, everything)
    main = Ingredients(
        sparsity,
        prior=priors[0],
        regulators=problem.regulators,
        coregulation=problem.coregulation,
        missing=missing,
        settings=settings,
        epochs=epochs,
        seed=seed,
        scale=np.sqrt(problem.units.range) if problem.units is not None and not parts else None,
    )
    choice = choose(main, folds, given=given, progress=progress)
    pieces = [
        (replace(main, prior=prior, seed=seed + k), everything, choice, start_of(parts[k][0]) if parts else None)
        for k, prior in enumerate(priors)
    ]
    candidates = spread_all(fit_chosen, pieces, "fitting with the chosen settings", progress=progress)
    return Followed(
        candidates,
        choice,
        folds[0].kind,
        choice.gain,
        step_error(candidates[0].model, everything, settings.longest_step),
    )


def in_units_of_slope_one(
    settings: WholeTrajectories, slope: float, start: GeneWise, courses: Courses
) -> WholeTrajectories:
    """Return settings for states 1/2 + slope (x - 1/2): squared errors are smaller there, and so is the pull.

    The solver's steps are as long as the accuracy of the regression allows.
    """
    return replace(settings, pull=settings.pull * slope**2, longest_step=longest_accurate_step(start, courses))


def as_stack(models: Sequence[GeneWise]) -> tuple[VectorField, Params, Params]:
    """Return a vector field with the weights and masks of some models, leading axis: models."""
    genes = len(models[0].bias)
    common = {
        "bias": torch.from_numpy(np.stack([model.bias for model in models])),
        "v": torch.from_numpy(np.stack([model.rates for model in models])),
    }
    weights = [sp.csr_array(model.weights)[:, :genes] for model in models]
    if genes**2 <= LISTED:
        dense = {"U_sums": torch.from_numpy(np.stack([part.toarray() for part in weights]))}
        pairs = sorted({(int(a), int(b)) for model in models for a, b in model.pairs})
        if pairs:
            dense["U_prods"] = torch.from_numpy(np.stack([_product_weights(model, pairs) for model in models]))
        return (
            Phoenix(genes, encoder="genes", pairs=tuple(pairs)),
            dense | common,
            {name: value != 0 for name, value in dense.items()},
        )
    support = sp.csr_matrix(sum(abs(part) for part in weights)).tocoo()
    edges = np.sort(np.unique(support.row.astype(np.int64) * genes + support.col))
    target, regulator = edges // genes, edges % genes
    field = SparsePhoenix(genes, tuple(target.tolist()), tuple(regulator.tolist()))
    listed = torch.from_numpy(np.stack([np.asarray(part[target, regulator]).reshape(1, -1) for part in weights]))
    return field, {"U_sums": listed} | common, {"U_sums": listed != 0}


def _product_weights(model: GeneWise, pairs: list[tuple[int, int]]) -> NDArray[np.float32]:
    """Return the weights of products in the order of some pairs, (genes, pairs)."""
    genes = len(model.bias)
    place = {pair: number for number, pair in enumerate(pairs)}
    found = np.zeros((genes, len(pairs)), dtype=np.float32)
    if len(model.pairs):
        found[:, [place[int(a), int(b)] for a, b in model.pairs]] = model.weights[:, genes:].toarray()
    return found


def history_of(followed: Followed) -> pd.DataFrame:
    """Return the training error, the fraction of zeros and whether it grew, for every epoch and model."""
    rows = []
    for model, candidate in enumerate(followed.candidates):
        genes = len(candidate.model.bias)
        before = candidate.sizes[:1] + candidate.sizes[:-1]
        for epoch, (loss, size, last) in enumerate(zip(candidate.losses, candidate.sizes, before, strict=True)):
            row = {"epoch": epoch, "model": model, "train_loss": loss}
            rows.append(row | {"sparsity": 1 - size / max(genes * (genes - 1), 1), "pruned": size < last})
    return pd.DataFrame(rows, columns=["epoch", "model", "train_loss", "sparsity", "pruned"])
