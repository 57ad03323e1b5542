"""Cells that start from the regression: trained on whole trajectories, pruned in rounds, chosen by folds."""

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
from scdash.dynamics.whole_fit import Choice, Ingredients, choose, fit_chosen
from scdash.fields import Params, Phoenix, SparsePhoenix, VectorField
from scdash.sparsity import Sparsity
from scdash.training.whole_trajectories import Courses, GeneWise, WholeTrajectories, roll_out

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
        Trajectories of cells.
    sparsity
        A method that scores weights, or none; its schedule counts epochs from the end of the dense training.
    priors
        The prior of every model, for replicates with parts of it hidden.
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
    folds = make_folds(problem)
    if not folds:
        return None
    main = Ingredients(
        sparsity,
        prior=priors[0],
        regulators=problem.regulators,
        coregulation=problem.coregulation,
        missing=missing,
        settings=settings,
        epochs=epochs,
        seed=seed,
        scale=None if problem.units is None else np.sqrt(problem.units.range),
    )
    choice = choose(main, folds, progress=progress)
    everything = courses_of(problem.series, ~is_test(problem.series))
    pieces = [(replace(main, prior=prior, seed=seed + k), everything, choice) for k, prior in enumerate(priors)]
    candidates = spread_all(fit_chosen, pieces, "fitting with the chosen settings", progress=progress)
    return Followed(
        candidates,
        choice,
        folds[0].kind,
        choice.gain,
        step_error(candidates[0].model, everything),
    )


def step_error(model: GeneWise, courses: Courses) -> float:
    """Return the root mean square error of one step of training's solver, relative to the change over an interval."""
    seen = np.arange(1, courses.states.shape[1]) < courses.lengths[:, None]
    start, interval = courses.states[:, :-1][seen], courses.intervals[seen][:, None]
    coarse, fine = (roll_out(model, start, interval, steps)[:, 1] for steps in (1, 16))
    change = np.sqrt(np.mean((fine - start) ** 2, dtype=np.float64))
    return float(np.sqrt(np.mean((coarse - fine) ** 2, dtype=np.float64)) / max(change, 1e-12))


def as_stack(models: Sequence[GeneWise]) -> tuple[VectorField, Params, Params]:
    """Return a vector field with the weights and masks of some models, leading axis: models."""
    genes = len(models[0].bias)
    common = {
        "bias": torch.from_numpy(np.stack([model.bias for model in models])),
        "v": torch.from_numpy(np.stack([model.rates for model in models])),
    }
    weights = [sp.csr_array(model.weights) for model in models]
    if genes**2 <= LISTED:
        dense = torch.from_numpy(np.stack([part.toarray() for part in weights]))
        return Phoenix(genes, encoder="genes"), {"U_sums": dense} | common, {"U_sums": dense != 0}
    support = sp.csr_matrix(sum(abs(part) for part in weights)).tocoo()
    edges = np.sort(np.unique(support.row.astype(np.int64) * genes + support.col))
    target, regulator = edges // genes, edges % genes
    field = SparsePhoenix(genes, tuple(target.tolist()), tuple(regulator.tolist()))
    listed = torch.from_numpy(np.stack([np.asarray(part[target, regulator]).reshape(1, -1) for part in weights]))
    return field, {"U_sums": listed} | common, {"U_sums": listed != 0}


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
