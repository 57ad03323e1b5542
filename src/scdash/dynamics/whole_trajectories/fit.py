"""Fits that start from the regression: trained on whole trajectories, pruned in rounds, chosen by folds."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash._core.logging import expect, logger
from scdash._core.parallel import spread_all
from scdash.dynamics.comparisons.baselines import baseline_errors
from scdash.dynamics.comparisons.null_models import null_model_errors
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.reporting.following import following_table
from scdash.dynamics.whole_trajectories.folds import Fold, all_to_learn_from, make_folds
from scdash.dynamics.whole_trajectories.one_fit import (
    FITTING,
    Choice,
    Given,
    Ingredients,
    choose,
    fit_chosen,
    in_threads,
    with_training,
    work_of,
)
from scdash.dynamics.whole_trajectories.pruning import Candidate
from scdash.dynamics.whole_trajectories.regression_choice import (
    TRAINED,
    RegressionChoice,
    choose_regressions,
    regression_work,
)
from scdash.dynamics.whole_trajectories.selection import Errors
from scdash.dynamics.whole_trajectories.states import everything_of, folds_of_states, start_of
from scdash.dynamics.whole_trajectories.velocity_weight import (
    VelocityChoice,
    choose_velocity_weight,
    velocity_cosine,
)
from scdash.fields import Params, Phoenix, SparsePhoenix, VectorField
from scdash.regression import TransitionFit
from scdash.training.rollouts import GeneWise, Trajectories, longest_accurate_step, step_error
from scdash.training.whole_trajectories import WholeTrajectories

NullModelsMade: TypeAlias = Literal["compared", "off", "interrupted"]

LISTED = 4_000_000  # pairs of genes above which a network is stored as a list of edges, without products of regulators


@dataclass(frozen=True)
class Followed:
    """What training on whole trajectories gave; the first model is the main one, the others are its replicates."""

    candidates: list[Candidate]
    choice: Choice
    judged_by: str  # what the folds left out
    step_error: float  # of training's solver, relative to the change over an interval
    # of cells: how well the mean trajectory of every lineage is followed, see `following_table`
    following: pd.DataFrame = field(default_factory=pd.DataFrame)
    errors: dict[str, Errors] = field(default_factory=dict)  # of null models and baselines on the folds, (folds,) each
    null_models: NullModelsMade = "off"  # whether null models were made, and why not
    velocity: VelocityChoice | None = None  # of measured velocities
    regressions: RegressionChoice | None = None  # of cells: those to start from
    velocity_cosine: float = float("nan")  # of the chosen models of the folds with velocities left out


def follow(
    problem: FitProblem,
    main: Ingredients,
    priors: Sequence[sp.csr_matrix | None],
    *,
    null_models: bool | Literal["full"] = True,
    progress: bool | None = None,
) -> Followed | None:
    """Return models of cells, trained on whole trajectories, or None where nothing could be left out to choose them by.

    `priors`: that of every model, for replicates with parts of it hidden. `null_models`: compare the model with null models;
    "full" chooses the settings of each anew.
    """
    folds = make_folds(problem)
    if not folds:
        return None
    weighed = choose_velocity_weight(main, folds, progress=progress)
    # null models are known when the settings are; until then they count as many as with a prior that is used
    likely = {"null models to come": (9, 1.0)} if null_models else {}
    expect(regression_work(len(folds)) | work_of(main, len(folds), len(priors), TRAINED) | likely)
    main = main if weighed is None else with_training(main, velocity_weight=weighed.weight)
    started = choose_regressions(main, folds, progress=progress)
    main = started.made_of
    choice = choose(main, folds, first=started.trial, progress=progress)
    everything = all_to_learn_from(problem)
    pieces = [(replace(main, prior=prior, seed=main.seed + k), everything, choice) for k, prior in enumerate(priors)]
    candidates = spread_all(fit_chosen, pieces, FITTING, progress=progress, threads=in_threads(everything))
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
        weighed,
        started,
        _velocity_cosine(folds, choice),
    )


def _velocity_cosine(folds: Sequence[Fold], choice: Choice) -> float:
    """Return the mean cosine of the chosen models with velocities that are left out; NaN without any."""
    pairs = [(model, fold.held_velocity) for model, fold in zip(choice.models, folds, strict=True)]
    found = [velocity_cosine(model, rows) for model, rows in pairs if rows is not None]
    return float(np.mean(found)) if found else float("nan")


def follow_states(
    main: Ingredients,  # what the main model is made of
    priors: Sequence[sp.csr_matrix | None],  # the prior of every model, for replicates with parts of it hidden
    fits: Sequence[TransitionFit],  # the regression of every model, which has the folds and where they start
    *,
    progress: bool | None = None,  # show progress bars
) -> Followed | None:
    """Return models of a time course of states that were trained on whole trajectories, or None without a fold."""
    folds = folds_of_states(fits[0])
    if not folds:
        return None
    everything = everything_of(fits[0])
    first, *others = (start_of(part) for part in fits[0].parts)
    settings = in_units_of_slope_one(main.settings, fits[0].slope, first, everything)
    main = replace(main, settings=settings)
    expect(work_of(main, len(folds), len(priors)))
    choice = choose(main, folds, given=Given(first, others, fits[0].prior_weight), progress=progress)
    pieces = [
        (replace(main, prior=prior, seed=main.seed + k), everything, choice, start_of(fit.parts[0]))
        for k, (prior, fit) in enumerate(zip(priors, fits, strict=True))
    ]
    candidates = spread_all(fit_chosen, pieces, FITTING, progress=progress, threads=in_threads(everything))
    error = step_error(candidates[0].model, everything, settings.longest_step)
    return Followed(candidates, choice, folds[0].kind, error)


def in_units_of_slope_one(
    settings: WholeTrajectories, slope: float, start: GeneWise, trajectories: Trajectories
) -> WholeTrajectories:
    """Return settings for states 1/2 + slope (x - 1/2): squared errors are smaller there, and so is the pull.

    The solver's steps are as long as the accuracy of the regression allows.
    """
    return replace(settings, pull=settings.pull * slope**2, longest_step=longest_accurate_step(start, trajectories))


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
        phoenix = Phoenix(genes, encoder="genes", pairs=tuple(pairs))
        return phoenix, dense | common, {name: value != 0 for name, value in dense.items()}
    support = sp.csr_matrix(sum(abs(part) for part in weights)).tocoo()
    edges = np.sort(np.unique(support.row.astype(np.int64) * genes + support.col))
    target, regulator = edges // genes, edges % genes
    sparse = SparsePhoenix(genes, tuple(target.tolist()), tuple(regulator.tolist()))
    listed = torch.from_numpy(np.stack([np.asarray(part[target, regulator]).reshape(1, -1) for part in weights]))
    return sparse, {"U_sums": listed} | common, {"U_sums": listed != 0}


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
