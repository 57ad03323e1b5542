"""One whole fit on arrays: start, training, what is kept, its network, and what it has to be compared with."""

import dataclasses
from dataclasses import asdict, dataclass, replace
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from scdash._logging import logger
from scdash.fields import Params, VectorField, zero_share
from scdash.fitting._controls import data_figures, forecasts, no_network, refits, trivial
from scdash.fitting._course import describe_course, field_velocity
from scdash.fitting._evidence import gather_evidence
from scdash.fitting._match import match, model_priors
from scdash.fitting._options import FitOptions, Recipe, recipe
from scdash.fitting._posthoc import fit_posthoc
from scdash.fitting._predictors import (
    Floats,
    Predictor,
    control_table,
    field_predictor,
    fitted_states,
    pair_errors,
    rollout_errors,
    stretch,
    trajectory_table,
)
from scdash.fitting._problem import FitProblem
from scdash.fitting._report import report_text
from scdash.fitting._stack import train_stack
from scdash.fitting._start import make_field, matched_start, random_start, restrict
from scdash.fitting._strategy import build_prior, build_sparsity, returnable_from
from scdash.fitting._train import Trained, validation_levels
from scdash.fitting._verdict import judge
from scdash.matching import NoNetwork, TransitionFit
from scdash.networks import feature_sparsity, weight_sparsity
from scdash.solve import step_error
from scdash.sparsity import Sparsity


@dataclass(frozen=True)
class DynamicsFit:
    """The result of a fit on arrays; matrices are (target, regulator), weights have a leading axis of one model."""

    field: VectorField
    params: Params
    masks: Params
    replicates: list[Params]
    effects: sp.csr_matrix  # relu(v) D, signed
    edges: pd.DataFrame
    prior: dict[str, Any]
    history: pd.DataFrame
    metrics: dict[str, float]
    controls: pd.DataFrame
    fitted: Floats  # (rows, genes), scaled units: every state predicted from the start of its trajectory
    report: str
    verdict: dict[str, Any] = dataclasses.field(default_factory=dict)  # cells only
    held_out: pd.DataFrame | None = None  # cells only: errors of every held-out trajectory
    directions: pd.DataFrame | None = None  # cells only: does the velocity follow the course
    slope: float = 1.0  # the field runs in units 1/2 + slope (x - 1/2) of the series' units
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)


def fit_series(problem: FitProblem, options: FitOptions) -> DynamicsFit:
    """Fit the model that `options` ask for; see `scdash.tl.fit_dynamics`."""
    began = perf_counter()
    plan = recipe(options)
    sparsity = build_sparsity(options, plan)
    if sparsity.levels and options.n_models > 1:
        raise ValueError(
            f"n_models={options.n_models}: sparsity='posthoc' trains repeats of one model. Leave n_models at 1."
        )
    first = returnable_from(sparsity, options, plan)
    _check_prior(problem, sparsity, plan)
    priors = model_priors(problem, options)
    matched = match(problem, options) if options.start == "matching" else []
    field = sparsity.adapt(make_field(problem, options, matched))
    slope = matched[0].slope if matched else 1.0
    run = replace(problem, series=replace(problem.series, states=stretch(problem.series.states, slope)))
    started = [fit.in_units_of_slope_one() for fit in matched]
    params, masks = _start(problem, field, options, started, sparsity.repeats if sparsity.levels else 1)
    levels = None
    if sparsity.levels:
        trained, levels = fit_posthoc(run, options, plan, field, params, sparsity)
    else:
        prior = build_prior(problem, options, priors)
        trained = train_stack(run, options, plan, field, params, masks, sparsity, prior, first)
    for loss in ("train_loss", "validation_loss"):
        trained.history[loss] /= slope**2  # back to the units of the series
    models = Models(field, slope, Trained(params, field.start_masks(params) | masks, trained.history), trained)
    return _assemble(problem, options, plan, models, matched, priors, levels, began)


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
        if repeats > 1:
            raise ValueError("sparsity='posthoc' prunes a model that was trained dense; it needs start='random'.")
        params, masks = matched_start(field, options, matched)
    else:
        params, masks = random_start(field, replace(options, n_models=max(options.n_models, repeats))), {}
    if problem.regulators is not None:
        masks = restrict(field, params, masks, problem.regulators)
    return params, masks


@dataclass(frozen=True)
class Models:
    """The stack before and after training."""

    field: VectorField
    slope: float
    start: Trained
    trained: Trained

    def predictor(self, models: Trained, steps: int = 4) -> Predictor:
        """Return the first model of a stack as a predictor in the units of the series."""
        return field_predictor(self.field, _model(models.params, 0), steps=steps, slope=self.slope)


def _gain(problem: FitProblem, options: FitOptions, models: Models) -> float:
    """Return by how much training lowered the validation error, less two standard errors of that difference.

    Paired over next-step pairs, or over whole held-out stretches of cells, where next-step errors choose models that
    diverge later. Re-drawn cells are no further stretches, and a single one shows no gain: on real cells training improved
    the validation batch and worsened others. Negative: what looks like a gain may be noise (the epoch was chosen on the
    same states), and the start is kept.
    """
    series = problem.series.originals() if options.cells else problem.series
    if models.trained.epochs == 0 or (options.cells and len(series.rollouts("validation")) < 2):
        return -np.inf
    errors = rollout_errors if options.cells else pair_errors
    before, after = (errors(series, models.predictor(stack), "validation") for stack in (models.start, models.trained))
    gain = before - after
    noise = gain.std(ddof=1) / np.sqrt(len(gain)) if len(gain) > 1 else 0.0
    return float(gain.mean() - 2 * noise)


def _assemble(
    problem: FitProblem,
    options: FitOptions,
    plan: Recipe,
    models: Models,
    matched: list[TransitionFit],
    priors: list[sp.csr_matrix | None],
    levels: pd.DataFrame | None,
    began: float,
) -> DynamicsFit:
    """Choose the model that is kept, and judge it beside everything it has to be compared with."""
    field, trained = models.field, models.trained
    polished = _gain(problem, options, models) > 0 if matched else None
    kept = models.start if polished is False else trained
    main = _model(kept.params, 0)
    evidence = gather_evidence(problem, options, field, kept.params, priors, matched)
    predict = models.predictor(kept, plan.config.steps)
    alone = no_network(problem, options)
    others, judged = _others(problem, options, models, matched, alone, polished=polished)
    # re-drawn cells are for learning: errors are those of the trajectories as observed
    series, everyone = problem.series.originals(), {field.name: predict} | others
    controls = control_table(series, everyone, ahead=options.cells)
    verdict = judge(controls, data_figures(problem, evidence.scores)) if judged else None
    metrics = evidence.figures | _errors(controls)
    metrics["sparsity"] = float(zero_share(field, main)[0])
    metrics["weight_sparsity"] = float(weight_sparsity(field, main)[0])
    metrics["feature_sparsity"] = float(feature_sparsity(field, main)[0])
    metrics |= _history_levels(problem, plan, models, others, matched=bool(matched))
    course = describe_course(problem, field.name, field_velocity(field, main, models.slope), predict, alone)
    metrics |= course.figures
    metrics["epochs"] = float(trained.epochs)
    metrics["best_epoch"] = float(kept.best_epoch[0]) if kept.best_epoch else np.nan
    metrics["solver_error"] = _solver_error(problem, models, main, plan)
    metrics["seconds"] = perf_counter() - began
    settings: dict[str, Any] = {
        "kept": "matching" if polished is False else "trained",
        "training": asdict(plan.config),
        "schedule": asdict(plan.schedule),
        "sparsity_options": build_sparsity(options, plan).config(),
    }
    if levels is not None:
        settings["levels"] = levels
    if matched:
        settings["matching"] = matched[0].table
    return DynamicsFit(
        field=field,
        params=main,
        masks=_model(kept.masks, 0),
        replicates=[_model(kept.params, model) for model in range(1, options.n_models)],
        effects=evidence.effects,
        edges=evidence.edges,
        prior=evidence.report,
        history=trained.history,
        metrics=metrics,
        controls=controls,
        fitted=fitted_states(problem.series, predict),
        report=report_text(
            controls,
            metrics,
            evidence.report,
            polished=polished,
            interrupted=trained.interrupted,
            unjudged=bool(options.cells and options.controls) and not judged,
            verdict=verdict,
            course=course.lines(),
        ),
        verdict={} if verdict is None else verdict.as_dict(),
        held_out=trajectory_table(series, everyone) if options.cells else None,
        directions=course.directions if len(course.directions) else None,
        slope=models.slope,
        settings=settings,
    )


def _others(
    problem: FitProblem,
    options: FitOptions,
    models: Models,
    matched: list[TransitionFit],
    alone: NoNetwork,
    *,
    polished: bool | None,
) -> tuple[dict[str, Predictor], bool]:
    """Return the predictors that the kept model is printed beside, and whether they allow a verdict.

    An interrupt from the keyboard costs the verdict, not the model that took so much longer.
    """
    found: dict[str, Predictor] = {}
    if polished:
        found["matching alone"] = models.predictor(models.start)
    elif polished is False and models.trained.epochs:
        found["trained further (not kept)"] = models.predictor(models.trained)
    found |= trivial(problem, alone)
    if not (options.cells and options.controls):
        return found, False
    try:
        return found | forecasts(problem) | refits(problem, options, matched[0] if matched else None), True
    except KeyboardInterrupt:
        logger.warning("    interrupted while the model was judged: it is kept, without a verdict")
        return found, False


def _history_levels(
    problem: FitProblem, plan: Recipe, models: Models, others: dict[str, Predictor], *, matched: bool
) -> dict[str, float]:
    """Return the levels to draw beside the validation loss of training: the same error on the same states."""
    if models.trained.epochs == 0:
        return {}
    shown = {name: others[name] for name in ("constant", "no change", "no network")}
    if matched:
        shown["matched start"] = models.predictor(models.start)
    levels = validation_levels(problem.series, plan.config.window, shown)
    return {f"validation_loss_{name.replace(' ', '_')}": level for name, level in levels.items()}


def _errors(controls: pd.DataFrame) -> dict[str, float]:
    """Return the main model's errors and those of the trivial predictors, on the held-out split there is."""
    table = controls.set_index("predictor")
    ours = table.iloc[0]
    held = "test_mse" if np.isfinite(ours["test_mse"]) else "validation_mse"
    names = {"constant_mse": "constant", "no_change_mse": "no change", "no_network_mse": "no network"}
    figures = {name: float(ours[name]) for name in ("train_mse", "validation_mse", "test_mse", "rollout_mse")}
    return figures | {key: float(table.loc[name, held]) for key, name in names.items()}


def _solver_error(problem: FitProblem, models: Models, params: Params, plan: Recipe) -> float:
    """Compare rk4 with the steps of training to a tight dopri5, on a few pairs: root mean square, relative to change."""
    pairs = problem.series.pairs()
    rows = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), 16)).astype(int)]
    states = stretch(problem.series.states[rows[:, 0]], models.slope)
    x = torch.as_tensor(states, dtype=torch.float32)[None]
    times = torch.as_tensor(problem.series.times[rows])[None]
    field = models.field
    return step_error(field.bind(params), field.lift(params, x), times, steps=plan.config.steps).relative


def _model(params: Params, model: int) -> Params:
    return {name: value[model : model + 1] for name, value in params.items()}
