"""One whole fit on arrays: start and training; `assemble` evaluates what comes out."""

from dataclasses import replace
from time import perf_counter

import pandas as pd

from scdash.dynamics.arguments import refuse_unused
from scdash.dynamics.options import FitOptions, Recipe, recipe
from scdash.dynamics.predictors import scaled_about_middle
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.result import DynamicsFit, Models
from scdash.dynamics.state_pairs.assembly import assemble
from scdash.dynamics.state_pairs.penalised import fit_penalised
from scdash.dynamics.state_pairs.regression_fits import match, model_priors
from scdash.dynamics.state_pairs.stacks import train_stack
from scdash.dynamics.state_pairs.start import make_field, matched_start, random_start, restrict
from scdash.dynamics.state_pairs.strategy import build_prior, build_sparsity, returnable_from
from scdash.dynamics.state_pairs.train import HISTORY, Trained
from scdash.dynamics.state_pairs.train_prune_finetune import fit_posthoc
from scdash.dynamics.whole_trajectories.fit import Followed, as_stack, follow_states, history_of
from scdash.dynamics.whole_trajectories.result import fit_followed, ingredients
from scdash.dynamics.whole_trajectories.settings import default_rounds, follows_trajectories
from scdash.dynamics.whole_trajectories.states import regression_of
from scdash.fields import Params, VectorField
from scdash.regression import TransitionFit
from scdash.sparsity import Sparsity


def fit_series(problem: FitProblem, options: FitOptions) -> DynamicsFit:
    """Fit the model that `options` ask for; see `scdash.tl.fit_dynamics`."""
    began = perf_counter()
    plan = recipe(options)
    refuse_unused(problem, options)
    whole = follows_trajectories(options)
    if whole:
        plan = replace(plan, schedule=options.schedule or default_rounds(problem, options))
    sparsity = build_sparsity(options, plan)
    if sparsity.levels and options.n_models > 1:
        raise ValueError(
            f"n_models={options.n_models}: sparsity='posthoc' trains repeats of one model. Leave n_models at 1."
        )
    first = returnable_from(sparsity, options, plan)
    _check_prior(problem, sparsity, plan)
    priors = model_priors(problem, options)
    by_folds = fit_followed(problem, options, plan, sparsity, priors, began) if whole and options.cells else None
    if by_folds is not None:
        return by_folds
    matched = match(problem, options) if options.start == "regression" else []
    field = sparsity.adapt(make_field(problem, options, matched))
    slope = matched[0].slope if matched else 1.0
    run = replace(problem, series=replace(problem.series, states=scaled_about_middle(problem.series.states, slope)))
    started = [fit.in_units_of_slope_one() for fit in matched]
    params, masks = _start(problem, field, options, started, sparsity.repeats if sparsity.levels else 1)
    levels, followed = None, None
    if whole:
        if not options.cells:
            followed = follow_states(
                ingredients(problem, options, sparsity), priors, matched, progress=options.progress
            )
        field, params, masks, trained = _followed_stack(matched, params, masks, field, followed)
    elif sparsity.levels:
        trained, levels = fit_posthoc(run, options, plan, field, params, sparsity)
    else:
        prior = build_prior(problem, options, priors)
        if sparsity.has_strength and plan.config.max_epochs:
            trained, levels = fit_penalised(run, options, plan, field, params, masks, sparsity, prior)
            levels["validation_mse"] /= slope**2
        else:
            trained = train_stack(run, options, plan, field, params, masks, sparsity, prior, first)
    for loss in ("train_loss", "validation_loss"):
        trained.history[loss] /= slope**2  # back to the units of the series
    models = Models(field, slope, Trained(params, field.start_masks(params) | masks, trained.history), trained)
    return assemble(problem, options, plan, models, matched, priors, levels, began, followed)


def _followed_stack(
    matched: list[TransitionFit], params: Params, masks: Params, field: VectorField, followed: Followed | None
) -> tuple[VectorField, Params, Params, Trained]:
    """Return a field that holds the regression's networks and the trained ones, both stacks, and the trained one.

    Where nothing could be left out to choose by, nothing was trained: the regression is returned as it is.
    """
    if followed is None:
        return field, params, masks, Trained(params, masks, pd.DataFrame(columns=list(HISTORY)))
    begun = [regression_of(fit.field) for fit in matched]
    field, both, kept = as_stack([*begun, *(one.model for one in followed.candidates)])
    first = {name: value[: len(begun)] for name, value in both.items()}
    last = {name: value[len(begun) :] for name, value in both.items()}
    history = history_of(followed).reindex(columns=list(HISTORY))
    epochs = len(followed.candidates[0].losses)
    trained = Trained(
        last,
        {name: value[len(begun) :] for name, value in kept.items()},
        history,
        epochs=epochs,
        best_epoch=(epochs,) * len(followed.candidates),
    )
    return field, first, {name: value[: len(begun)] for name, value in kept.items()}, trained


def _check_prior(problem: FitProblem, sparsity: Sparsity, plan: Recipe) -> None:
    """Raise for what needs a prior, before anything is computed."""
    if problem.prior is not None:
        return
    if sparsity.name == "bio":
        raise ValueError("sparsity='bio' prunes by the prior alone: pass `prior`, or use sparsity='imp'.")
    if plan.config.tau < 1:
        raise ValueError(
            f"tau={plan.config.tau} weighs a prior loss, but there is no prior. Give one, or leave tau at 1."
        )


def _start(
    problem: FitProblem, field: VectorField, options: FitOptions, matched: list[TransitionFit], repeats: int
) -> tuple[Params, Params]:
    """Return weights and masks of the stack before training."""
    if matched:
        params, masks = matched_start(field, options, matched)
    else:
        params, masks = random_start(field, replace(options, n_models=max(options.n_models, repeats))), {}
    if problem.regulators is not None:
        masks = restrict(field, params, masks, problem.regulators)
    return params, masks
