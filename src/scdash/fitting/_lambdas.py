"""Choosing DASH's lambdas by K folds, the whole grid trained as one stack (DASH B.4)."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import torch

from scdash._data import TimeSeries
from scdash._logging import logger
from scdash._parallel import spread_all
from scdash.fitting._folds import make_folds, stack_examples
from scdash.fitting._match import like, transition_settings
from scdash.fitting._options import FitOptions, recipe
from scdash.fitting._predictors import stretch
from scdash.fitting._problem import FitProblem
from scdash.fitting._stack import train_stack
from scdash.fitting._start import make_field, matched_start, random_start
from scdash.fitting._strategy import build_prior, build_sparsity, returnable_from
from scdash.fitting._train import training_rows, validation_rows
from scdash.matching import TransitionFit, TransitionSettings, fit_transitions

# The paper's scale needs small numbers, because its two summands differ by orders of magnitude.
GRIDS = {"matched": (0.0, 0.25, 0.5, 0.75, 0.95), "paper": (0.0, 0.01, 0.05, 0.25, 0.95)}


def default_grid(options: FitOptions) -> list[tuple[float, float]]:
    """Return the settings tried: pairs for two layers, one number for the single layer of a gene-wise network."""
    values = GRIDS[options.scale]
    if options.model == "phoenix" and options.encoder == "genes":
        return [(value, value) for value in values]
    return [(first, second) for first in values for second in values]


def cross_validate_lambdas(
    problem: FitProblem, options: FitOptions, *, grid: Sequence[tuple[float, float]] | None = None, n_folds: int = 5
) -> pd.DataFrame:
    """Return one row per setting: `l1`, `l2`, `mean` and `se` of the validation error over folds, `sparsity`, `chosen`.

    Every fold starts and trains without its held-out part; each setting starts from the same weights.
    """
    if problem.prior is None:
        raise ValueError("lambdas weigh the prior against the weights: there is nothing to choose without a prior.")
    if options.sparsity != "dash":
        raise ValueError(
            f"cross_validate chooses DASH's weight of the prior, found sparsity={options.sparsity!r}. The strength of a "
            "penalty is chosen with `scdash.tl.sparsity_path`."
        )
    settings = [(float(a), float(b)) for a, b in (grid if grid is not None else default_grid(options))]
    if not settings:
        raise ValueError("grid holds no setting; give pairs (l1, l2).")
    folds = make_folds(problem.series, n_folds, options.seed)
    plan = recipe(options)
    one = replace(options, n_models=1, checkpoint=None)
    matched = _match_folds(problem, one, folds) if options.start == "matching" else []
    slope = matched[0].slope if matched else 1.0
    folds = [replace(fold, states=stretch(fold.states, slope)) for fold in folds]
    matched = [fit.in_units_of_slope_one() for fit in matched]
    field = make_field(problem, options, matched)
    stacked = replace(one, n_models=len(folds))
    params, masks = matched_start(field, stacked, matched) if matched else (random_start(field, stacked), {})
    lambdas = torch.tensor(settings, dtype=torch.float64).repeat_interleave(len(folds), dim=0)
    sparsity = build_sparsity(replace(one, lambdas=tuple(lambdas.T.unbind())), plan)  # type: ignore[arg-type]
    trained = train_stack(
        problem,
        one,
        plan,
        field,
        {name: value.repeat(len(settings), *[1] * (value.ndim - 1)) for name, value in params.items()},
        {name: value.repeat(len(settings), *[1] * (value.ndim - 1)) for name, value in masks.items()},
        sparsity,
        build_prior(problem, options, [problem.prior]),
        returnable_from(sparsity, options, plan),
        description=f"cross-validating {len(settings)} settings",
        train_examples=stack_examples(folds, lambda s: training_rows(s, plan.config.window), len(settings)),
        held_examples=stack_examples(folds, lambda s: validation_rows(s, plan.config.window), len(settings)),
    )
    table = _table(settings, np.array(trained.validation_loss).reshape(len(settings), len(folds)) / slope**2)
    best = table.loc[table["chosen"]].iloc[0]
    logger.info(
        "    lambdas (%g, %g): error %.4g +- %.1g over %d folds", best.l1, best.l2, best["mean"], best.se, n_folds
    )
    return table


def _match_folds(problem: FitProblem, options: FitOptions, folds: Sequence[TimeSeries]) -> list[TransitionFit]:
    """Fit the start of every fold without its held-out part; all share the slope of the first, to share one field."""

    def fit(fold: TimeSeries, settings: TransitionSettings) -> TransitionFit:
        return fit_transitions(fold, prior=problem.prior, regulators=problem.regulators, settings=settings)

    first = fit(folds[0], replace(transition_settings(options, problem.n_genes), half_samples=0))
    pieces = [(fold, like(first, half_samples=0)) for fold in folds[1:]]
    return [first, *spread_all(fit, pieces, "matching folds", progress=options.progress)]


def choose_lambdas(problem: FitProblem, options: FitOptions) -> FitOptions:
    """Return the options with the cross-validated lambdas."""
    table = cross_validate_lambdas(problem, options)
    best = table.loc[table["chosen"]].iloc[0]
    return replace(options, lambdas=(float(best["l1"]), float(best["l2"])))


def _table(settings: Sequence[tuple[float, float]], losses: np.ndarray) -> pd.DataFrame:
    table = pd.DataFrame(settings, columns=["l1", "l2"])
    table["mean"] = losses.mean(1)
    table["se"] = losses.std(1, ddof=1) / np.sqrt(losses.shape[1])
    table["chosen"] = table.index == int(table["mean"].idxmin())
    for k in range(losses.shape[1]):
        table[f"fold{k}"] = losses[:, k]
    return table
