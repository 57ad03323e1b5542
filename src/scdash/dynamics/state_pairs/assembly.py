"""Which of the trained models is kept, and how it stands beside everything it has to be compared with."""

from dataclasses import asdict
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import scipy.sparse as sp
import torch

from scdash._core.decisions import Difference
from scdash.dynamics import lineage_lines
from scdash.dynamics.comparisons.no_network import NoNetwork
from scdash.dynamics.options import FitOptions, Recipe
from scdash.dynamics.predictors import (
    Predictor,
    control_table,
    fitted_states,
    pair_errors,
    rollout_errors,
    scaled_about_middle,
)
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.reporting.cell_baselines import no_network, trajectory_predictors, trivial
from scdash.dynamics.reporting.direction import describe_direction, field_velocity, lineage_table
from scdash.dynamics.reporting.edge_evidence import gather_evidence
from scdash.dynamics.result import DynamicsFit, Models, one_of
from scdash.dynamics.state_pairs.report import TrainingOutcome, report_text
from scdash.dynamics.state_pairs.strategy import build_sparsity
from scdash.dynamics.state_pairs.train import Trained, validation_levels
from scdash.dynamics.whole_trajectories.fit import Followed
from scdash.dynamics.whole_trajectories.settings import chosen_settings, follows_trajectories
from scdash.fields import Params, VectorField, zero_fraction
from scdash.networks import feature_sparsity, weight_sparsity
from scdash.regression import TransitionFit
from scdash.solve import step_error


def training_gain(problem: FitProblem, options: FitOptions, models: Models) -> Difference:
    """Return by how much training lowered the validation error, over pairs of errors before and after it.

    Paired over next-step pairs, or over whole held-out windows of cells, where next-step errors choose models that
    diverge later. Resampled cells are no further windows, and a single one decides nothing: on real cells training
    improved the validation batch and worsened others. A gain within two standard errors may be noise (the epoch was
    chosen on the same states), and the start is kept.
    """
    if models.trained.epochs == 0:
        return Difference.of([])
    series = problem.series.originals() if options.cells else problem.series
    errors = rollout_errors if options.cells else pair_errors
    before, after = (errors(series, models.predictor(stack), "validation") for stack in (models.start, models.trained))
    return Difference.of(before - after)


def assemble(
    problem: FitProblem,
    options: FitOptions,
    plan: Recipe,
    models: Models,
    matched: list[TransitionFit],
    priors: list[sp.csr_matrix | None],
    levels: pd.DataFrame | None,
    began: float,
    followed: Followed | None = None,
) -> DynamicsFit:
    """Choose the model that is kept, and print it beside everything it has to be compared with."""
    field, trained = models.field, models.trained
    gain = _gain(problem, options, models, followed, matched=bool(matched))
    # The regression of states is among the models that the folds have chosen from.
    polished = True if followed is not None else None if gain is None else gain.clearly_positive
    kept = models.start if polished is False else trained
    main = one_of(kept.params, 0)
    evidence = gather_evidence(problem, options, field, kept.params, priors, matched)
    predict = models.predictor(kept, plan.config.steps)
    alone = no_network(problem, options)
    others = _others(problem, options, models, alone, polished=polished)
    # resampled cells are for learning: errors are those of the trajectories as observed
    errors = control_table(problem.series.originals(), {field.name: predict} | others, long_horizon=options.cells)
    direction = describe_direction(problem, field.name, field_velocity(field, main, models.slope), predict, alone)
    lineages = lineage_table(problem, predict)
    metrics = evidence.figures | _errors(errors) | sparsity_figures(field, main)
    metrics |= _history_levels(problem, plan, models, others, matched=bool(matched)) | direction.figures
    metrics |= _training_figures(problem, models, kept, plan) | {"seconds": perf_counter() - began}
    chosen = (
        {"sparsity": source_of_zeros(problem, options, models, kept, matched=bool(matched))}
        if followed is None
        else chosen_settings(problem, options, followed)
    )
    return DynamicsFit(
        field=field,
        params=main,
        masks=one_of(kept.masks, 0),
        replicates=[one_of(kept.params, model) for model in range(1, options.n_models)],
        effects=evidence.effects,
        edges=evidence.edges,
        prior=evidence.report,
        history=trained.history,
        metrics=metrics,
        errors=errors,
        fitted=fitted_states(problem.series, predict),
        rows=np.ones(len(problem.series), dtype=bool),
        report=report_text(
            errors,
            metrics,
            evidence.report,
            training=_outcome(options, trained, gain, followed),
            cells=options.cells,
            trajectory=direction.lines() + ([] if lineages is None else lineage_lines(lineages)),
        ),
        directions=direction.directions if len(direction.directions) else None,
        lineages=lineages,
        slope=models.slope,
        settings=_settings(options, plan, matched, levels, polished=polished) | chosen,
    )


def _gain(
    problem: FitProblem, options: FitOptions, models: Models, followed: Followed | None, *, matched: bool
) -> Difference | None:
    """Return what training has gained beside the regression that it began from; None where it began at random."""
    if followed is not None:
        return Difference.of(followed.choice.gain)
    return training_gain(problem, options, models) if matched else None


def _outcome(
    options: FitOptions, trained: Trained, gain: Difference | None, followed: Followed | None
) -> TrainingOutcome:
    """Return what training did."""
    held_out = followed is not None or not follows_trajectories(
        options
    )  # else there was nothing that could be left out
    judged_by = "" if followed is None else followed.judged_by
    return TrainingOutcome(
        gain, trained.epochs, interrupted=trained.interrupted, held_out=held_out, judged_by=judged_by
    )


def _training_figures(problem: FitProblem, models: Models, kept: Trained, plan: Recipe) -> dict[str, float]:
    """Return the epochs of training and of the model that is kept, and the error of the solver's steps."""
    best = float(kept.best_epoch[0]) if kept.best_epoch else np.nan
    solver = _solver_error(problem, models, one_of(kept.params, 0), plan)
    return {"epochs": float(models.trained.epochs), "best_epoch": best, "solver_error": solver}


def _others(
    problem: FitProblem, options: FitOptions, models: Models, alone: NoNetwork, *, polished: bool | None
) -> dict[str, Predictor]:
    """Return the predictors that the kept model is printed beside."""
    found: dict[str, Predictor] = {}
    if polished:
        found["regression alone"] = models.predictor(models.start)
    elif polished is False and models.trained.epochs:
        found["trained further (not kept)"] = models.predictor(models.trained)
    found |= trivial(problem, alone)
    return found | trajectory_predictors(problem) if options.cells else found


def _history_levels(
    problem: FitProblem, plan: Recipe, models: Models, others: dict[str, Predictor], *, matched: bool
) -> dict[str, float]:
    """Return the levels to draw beside the validation loss of training: the same error on the same states."""
    if models.trained.epochs == 0 or models.trained.history["validation_loss"].isna().all():
        return {}
    shown = {name: others[name] for name in ("constant", "no change", "no network")}
    if matched:
        shown["matched start"] = models.predictor(models.start)
    levels = validation_levels(problem.series, plan.config.window, shown)
    return {f"validation_loss_{name.replace(' ', '_')}": level for name, level in levels.items()}


def sparsity_figures(field: VectorField, main: Params) -> dict[str, float]:
    """Return the fractions of zeros of ONE model, counted in three ways."""
    measures = {"sparsity": zero_fraction, "weight_sparsity": weight_sparsity, "feature_sparsity": feature_sparsity}
    return {name: float(measure(field, main)[0]) for name, measure in measures.items()}


def source_of_zeros(problem: FitProblem, options: FitOptions, models: Models, kept: Trained, *, matched: bool) -> str:
    """Return what made the zeros of the model that is kept: the regression, a sparsity method, both, or nothing.

    A method counts only if the model has more zeros than the start. DASH without a prior is magnitude pruning ("imp").
    """
    name = "imp" if options.method_name == "dash" and problem.prior is None else options.method_name
    before, after = (_zeros(models.field, stack) for stack in (models.start, kept))
    found = [*(["regression"] if matched else []), *([name] if after > before else [])]
    return " and ".join(found) or "none"


def _zeros(field: VectorField, stack: Trained) -> float:
    """Return the fraction of zeros of the first model of a stack under its masks."""
    weights, masks = one_of(stack.params, 0), one_of(stack.masks, 0)
    masked = {name: value * masks[name] if name in masks else value for name, value in weights.items()}
    return float(zero_fraction(field, masked)[0])


def _settings(
    options: FitOptions,
    plan: Recipe,
    matched: list[TransitionFit],
    levels: pd.DataFrame | None,
    *,
    polished: bool | None,
) -> dict[str, Any]:
    """Return what was chosen and how, for whoever wants to repeat the fit."""
    settings: dict[str, Any] = {
        "kept": "regression" if polished is False else "trained",
        "training": asdict(plan.config),
        "schedule": asdict(plan.schedule),
        "sparsity_options": build_sparsity(options, plan).config(),
    }
    if levels is not None:
        settings["levels"] = levels
    if matched:
        settings["regression"] = matched[0].table
    return settings


def _errors(controls: pd.DataFrame) -> dict[str, float]:
    """Return the main model's errors and those of the trivial predictors, on the held-out split there is."""
    table = controls.set_index("predictor")
    ours = table.iloc[0]
    held = "test_mse" if np.isfinite(ours["test_mse"]) else "validation_mse"
    names = {"constant_mse": "constant", "no_change_mse": "no change", "no_network_mse": "no network"}
    figures = {name: float(ours[name]) for name in ("train_mse", "validation_mse", "test_mse", "rollout_mse")}
    return figures | {key: float(table[held][name]) for key, name in names.items()}


def _solver_error(problem: FitProblem, models: Models, params: Params, plan: Recipe) -> float:
    """Compare rk4 with the steps of training to a tight dopri5, on a few pairs: root mean square, relative to change."""
    pairs = problem.series.pairs()
    rows = pairs[np.linspace(0, len(pairs) - 1, min(len(pairs), 16)).astype(int)]
    states = scaled_about_middle(problem.series.states[rows[:, 0]], models.slope)
    x = torch.as_tensor(states, dtype=torch.float32)[None]
    times = torch.as_tensor(problem.series.times[rows])[None]
    field = models.field
    return step_error(field.bind(params), field.lift(params, x), times, steps=plan.config.steps).relative
