"""Cells that start from the regression: trained on whole trajectories, pruned in rounds, chosen by folds."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from scdash._logging import logger
from scdash._parallel import spread_all
from scdash.dynamics.baselines import baseline_errors
from scdash.dynamics.folds import courses_of, is_test, make_folds
from scdash.dynamics.following import following_table
from scdash.dynamics.null_models import null_model_errors
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.pruning import Candidate
from scdash.dynamics.selection import Errors
from scdash.dynamics.whole_fit import Choice, Ingredients, choose, fit_chosen
from scdash.fields import Params, Phoenix, SparsePhoenix, VectorField
from scdash.training.whole_trajectories import Courses, GeneWise, roll_out

NullModelsMade: TypeAlias = Literal["compared", "off", "interrupted"]

LISTED = 4_000_000  # pairs of genes above which a network is stored as a list of edges, without products of regulators


@dataclass(frozen=True)
class Followed:
    """What training on whole trajectories gave; the first model is the main one, the others are its replicates."""

    candidates: list[Candidate]
    choice: Choice
    judged_by: str  # what the folds left out
    step_error: float  # of training's solver, relative to the change over an interval
    following: pd.DataFrame  # how well the mean trajectory of every lineage is followed
    errors: dict[str, Errors]  # relative errors of null models and baselines on the folds, (folds,) each
    null_models: NullModelsMade  # whether null models were made, and why not


def follow(
    problem: FitProblem,
    main: Ingredients,
    priors: Sequence[sp.csr_matrix | None],
    *,
    null_models: bool | Literal["full"] = True,
    progress: bool | None = None,
) -> Followed | None:
    """Return models that were trained on whole trajectories, or None where nothing could be left out to choose them by.

    Parameters
    ----------
    problem
        Trajectories of cells.
    main
        What the main model is made of.
    priors
        The prior of every model, for replicates with parts of it hidden.
    null_models
        Compare the model with null models; "full": choose the settings of each anew.
    progress
        Show progress bars.
    """
    folds = make_folds(problem)
    if not folds:
        return None
    choice = choose(main, folds, progress=progress)
    everything = courses_of(problem.series, ~is_test(problem.series))
    pieces = [(replace(main, prior=prior, seed=main.seed + k), everything, choice) for k, prior in enumerate(priors)]
    candidates = spread_all(fit_chosen, pieces, "fitting with the chosen settings", progress=progress)
    errors = baseline_errors(folds)
    made: NullModelsMade = "off"
    if null_models:
        try:
            errors |= null_model_errors(main, choice, folds, anew=null_models == "full", progress=progress)
            made = "compared"
        except KeyboardInterrupt:  # costs the verdict, not the model that took so much longer
            logger.warning("    interrupted while null models were fitted: the model is kept, without a verdict")
            made = "interrupted"
    return Followed(
        candidates,
        choice,
        folds[0].kind,
        step_error(candidates[0].model, everything),
        following_table(problem, candidates[0].model, folds, choice.models),
        errors,
        made,
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
