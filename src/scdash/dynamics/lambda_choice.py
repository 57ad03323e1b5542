"""Choosing DASH's lambdas by K folds, the whole grid trained as one stack (DASH B.4)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import cast

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash._core.parallel import spread_all
from scdash._data import TimeSeries
from scdash.dynamics.arguments import refuse_unused
from scdash.dynamics.options import FitOptions, Recipe, recipe
from scdash.dynamics.predictors import scaled_about_middle
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.state_pairs.regression_fits import like, start_of_cells, transition_settings
from scdash.dynamics.state_pairs.stacks import train_stack
from scdash.dynamics.state_pairs.start import make_field, matched_start, random_start
from scdash.dynamics.state_pairs.strategy import build_prior, build_sparsity, returnable_from
from scdash.dynamics.state_pairs.train import Trained, training_rows, validation_rows
from scdash.fields import Params, VectorField
from scdash.regression import TransitionFit, TransitionSettings, fit_transitions
from scdash.resampling.fold_series import make_folds, stack_examples
from scdash.resampling.successive_halving import Searched, TrainModels, plan_rungs, train_settings
from scdash.sparsity import Sparsity
from scdash.training import TrainState

# The paper's scale needs small numbers, because its two summands differ by orders of magnitude.
GRIDS = {"matched": (0.0, 0.25, 0.5, 0.75, 0.95), "paper": (0.0, 0.01, 0.05, 0.25, 0.95)}


def default_grid(options: FitOptions) -> list[tuple[float, float]]:
    """Return the settings tried: pairs for two layers, one number for the single layer of a gene-wise network."""
    values = GRIDS[options.scale]
    if options.is_phoenix and options.encoder == "genes":
        return [(value, value) for value in values]
    return [(first, second) for first in values for second in values]


def cross_validate_lambdas(
    problem: FitProblem,
    options: FitOptions,
    *,
    grid: Sequence[tuple[float, float]] | None = None,
    n_folds: int = 5,
    budget: float | None = None,
) -> pd.DataFrame:
    """Return one row per setting: `l1`, `l2`, `mean`, `se`, `epochs`, `finished`, `chosen`, and the error of every fold.

    Every fold starts and trains without its held-out part. All settings start from the same weights and see the same
    batches, so that they differ by what they prune alone. `budget` is explained at `scdash.tl.cross_validate`.
    """
    if problem.prior is None:
        raise ValueError("lambdas weigh the prior against the weights: there is nothing to choose without a prior.")
    if options.sparsity != "dash":
        raise ValueError(
            f"cross_validate chooses DASH's weight of the prior, found sparsity={options.sparsity!r}. The strength of a "
            "penalty is chosen with `scdash.tl.sparsity_path`."
        )
    refuse_unused(problem, options)
    settings = [(float(a), float(b)) for a, b in (grid if grid is not None else default_grid(options))]
    if not settings:
        raise ValueError("grid holds no setting; give pairs (l1, l2).")
    folds = make_folds(problem.series, n_folds, options.seed)
    plan = recipe(options)
    alike = _first_pruning(build_sparsity(options, plan), plan.config.max_epochs)
    rungs = () if budget is None else plan_rungs(len(settings), plan.config.max_epochs, alike, budget)
    start = _start(problem, replace(options, n_models=len(folds), checkpoint=None), folds)
    train = _trainer(problem, replace(options, n_models=1, checkpoint=None), plan, settings, start)
    table = _table(settings, train_settings(train, settings, len(folds), alike=alike, rungs=rungs), start.slope)
    best = table.loc[table["chosen"]].iloc[0]
    spread = f" +- {best.se:.1g} over {n_folds} folds" if n_folds > 1 else ""
    logger.info("    lambdas (%g, %g): error %.4g%s", best.l1, best.l2, best["mean"], spread)
    return table


@dataclass(frozen=True)
class _Start:
    """Where the models of all folds start; states are in the units of the field, `slope` times those of the series."""

    folds: list[TimeSeries]
    field: VectorField
    params: Params
    masks: Params
    slope: float


def _start(problem: FitProblem, options: FitOptions, folds: Sequence[TimeSeries]) -> _Start:
    """Return the start of every fold, without its held-out part where it is matched."""
    one = replace(options, n_models=1)
    matched = _match_folds(problem, one, folds) if options.start == "regression" else []
    slope = matched[0].slope if matched else 1.0
    stretched = [replace(fold, states=scaled_about_middle(fold.states, slope)) for fold in folds]
    matched = [fit.in_units_of_slope_one() for fit in matched]
    field = make_field(problem, options, matched)
    params, masks = matched_start(field, options, matched) if matched else (random_start(field, options), {})
    return _Start(stretched, field, params, masks, slope)


def _trainer(
    problem: FitProblem, options: FitOptions, plan: Recipe, settings: Sequence[tuple[float, float]], start: _Start
) -> TrainModels:
    """Return how some models of the stack are trained, where model s * folds + k is setting s in fold k."""
    folds = len(start.folds)
    lambdas = torch.tensor(settings, dtype=torch.float64).repeat_interleave(folds, dim=0)
    sparsity = build_sparsity(replace(options, lambdas=tuple(lambdas.T.unbind())), plan)  # type: ignore[arg-type]
    prior, kept_from = build_prior(problem, options, [problem.prior]), returnable_from(sparsity, options, plan)
    seen = stack_examples(start.folds, lambda s: training_rows(s, plan.config.window), len(settings))
    held = stack_examples(start.folds, lambda s: validation_rows(s, plan.config.window), len(settings))

    def train(models: Sequence[int], state: TrainState | None, until: int | None) -> Trained:
        return train_stack(
            problem,
            options,
            plan,
            start.field,
            start.params if state is None else state.params,
            start.masks if state is None else state.masks,
            sparsity.of_models(models, len(lambdas)),
            prior,
            kept_from,
            streams=[model % folds for model in models],  # by fold: settings see the same batches
            state=state,
            until=until,
            description=f"cross-validating {len(models) // folds} setting(s)",
            train_examples=seen.of_models(models),
            held_examples=held.of_models(models),
        )

    return train


def _match_folds(problem: FitProblem, options: FitOptions, folds: Sequence[TimeSeries]) -> list[TransitionFit]:
    """Fit the start of every fold without its held-out part; all share the slope of the first, to share one field."""
    if options.cells:
        return [start_of_cells(fold, problem.prior, problem.regulators) for fold in folds]
    fit = partial(_fit_fold, problem.prior, problem.regulators)
    first = fit(folds[0], replace(transition_settings(options, problem.n_genes), half_samples=0))
    pieces = [(fold, like(first, half_samples=0)) for fold in folds[1:]]
    return [first, *spread_all(fit, pieces, "regression of folds", progress=options.progress)]


def _fit_fold(
    prior: sp.csr_matrix | None, regulators: NDArray[np.int64] | None, fold: TimeSeries, settings: TransitionSettings
) -> TransitionFit:
    return fit_transitions(fold, prior=prior, regulators=regulators, settings=settings)


def choose_lambdas(problem: FitProblem, options: FitOptions) -> FitOptions:
    """Return the options with the cross-validated lambdas."""
    table = cross_validate_lambdas(problem, options)
    best = table.loc[table["chosen"]].iloc[0]
    return replace(options, lambdas=(float(best["l1"]), float(best["l2"])))


def _first_pruning(sparsity: Sparsity, max_epochs: int) -> int:
    """Return the first epoch that begins with a pruning: lambdas do nothing before."""
    first = next((epoch for epoch in range(max_epochs) if sparsity.amount(epoch) > 0), None)
    if first is None:
        raise ValueError(
            f"max_epochs={max_epochs} ends before the schedule prunes: lambdas weigh the prior in pruning alone, so that all "
            "settings are the same. Train longer, or pass a schedule that prunes earlier, DASH(schedule=...)."
        )
    return first


def _table(settings: Sequence[tuple[float, float]], found: Searched, slope: float) -> pd.DataFrame:
    losses, folds = found.losses / slope**2, found.losses.shape[1]
    table = pd.DataFrame(settings, columns=["l1", "l2"])
    table["mean"] = losses.mean(1)
    table["se"] = losses.std(1, ddof=1) / np.sqrt(folds) if folds > 1 else np.nan
    table["epochs"], table["finished"] = found.epochs, found.finished
    table["chosen"] = table.index == cast("int", table["mean"].where(found.finished).idxmin())
    for k in range(folds):
        table[f"fold{k}"] = losses[:, k]
    return table
