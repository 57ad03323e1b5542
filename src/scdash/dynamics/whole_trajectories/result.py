"""Fits that are trained on whole trajectories: what they are made of, and the result with its errors and its report."""

from dataclasses import asdict, replace
from time import perf_counter

import numpy as np
import pandas as pd
import scipy.sparse as sp

from scdash._data.time_series.observed import BOOTSTRAPS
from scdash.dynamics.comparisons.baselines import CONSTANT, MEAN, PERSISTENCE, baseline_errors
from scdash.dynamics.options import FitOptions, Recipe
from scdash.dynamics.predictors import field_predictor, fitted_states
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.reporting.cell_baselines import no_network, real_time_figures
from scdash.dynamics.reporting.direction import DirectionTest, describe_direction, field_velocity, lineage_table
from scdash.dynamics.reporting.edge_evidence import Evidence, gather_evidence
from scdash.dynamics.reporting.report import Told, summary
from scdash.dynamics.reporting.report_details import details
from scdash.dynamics.reporting.verdict import Verdict, error_table, verdict_of
from scdash.dynamics.result import DynamicsFit, one_of
from scdash.dynamics.state_pairs.assembly import sparsity_figures
from scdash.dynamics.state_pairs.regression_fits import hidden_by_regression
from scdash.dynamics.state_pairs.strategy import build_sparsity
from scdash.dynamics.state_pairs.train import HISTORY
from scdash.dynamics.whole_trajectories.evaluation import held_out_error
from scdash.dynamics.whole_trajectories.fit import Followed, as_stack, follow, history_of
from scdash.dynamics.whole_trajectories.folds import (
    LEFT_OUT,
    TEST_TRAJECTORIES,
    TEST_WINDOWS,
    Fold,
    gene_weights,
    is_test,
    lineage_codes,
    lineages_of,
    trajectories_of,
)
from scdash.dynamics.whole_trajectories.one_fit import Ingredients
from scdash.dynamics.whole_trajectories.settings import chosen_settings, dense_epochs, mixed_starts, whole_settings
from scdash.fields import Params, VectorField
from scdash.sparsity import Sparsity
from scdash.training.rollouts import GeneWise, Trajectories

MODEL = "model"  # its name in the table of errors
START = "regression start"


def ingredients(problem: FitProblem, options: FitOptions, sparsity: Sparsity) -> Ingredients:
    """Return what the main model of a fit is made of."""
    return Ingredients(
        sparsity,
        prior=problem.prior,
        regulators=problem.regulators,
        coregulation=problem.coregulation,
        missing=options.missing,
        settings=whole_settings(problem, options),
        epochs=dense_epochs(problem, options),
        mixed_starts=mixed_starts(problem, options),
        seed=options.seed,
        scale=np.sqrt(problem.units.range) if options.cells and problem.units is not None else None,
    )


def fit_followed(
    problem: FitProblem,
    options: FitOptions,
    plan: Recipe,
    sparsity: Sparsity,
    priors: list[sp.csr_matrix | None],
    began: float,
) -> DynamicsFit | None:
    """Return a fit of cells by whole trajectories; None where nothing can be left out to choose it by."""
    main = ingredients(problem, options, sparsity)
    followed = follow(problem, main, priors, null_models=options.null_models, progress=options.progress)
    if followed is None:
        return None
    rows = problem.series.rows_with_bootstraps(BOOTSTRAPS)
    problem = replace(problem, series=problem.series.select(rows))
    field, params, masks = as_stack([one.model for one in followed.candidates])
    first = one_of(params, 0)
    hidden = hidden_by_regression(problem, options) if options.n_models == 1 else []
    evidence = gather_evidence(problem, options, field, params, priors, [], hidden)
    predict = field_predictor(field, first)
    direction = describe_direction(
        problem, MODEL, field_velocity(field, first, 1.0), predict, no_network(problem, options)
    )
    ends = lineage_table(problem, predict)
    told = _told(problem, options, followed, evidence, direction, main, ends)
    report = summary(told)
    table = error_table(MODEL, followed.choice.errors, {START: followed.choice.start_errors} | followed.errors)
    return DynamicsFit(
        field=field,
        params=first,
        masks=one_of(masks, 0),
        replicates=[one_of(params, model) for model in range(1, options.n_models)],
        effects=evidence.effects,
        edges=evidence.edges,
        prior=evidence.report,
        history=history_of(followed).reindex(columns=list(HISTORY)),
        metrics=_figures(followed, field, first, evidence, direction) | {"seconds": perf_counter() - began},
        errors=table if told.test is None else table.merge(told.test, on="predictor", how="left"),
        fitted=fitted_states(problem.series, predict),
        rows=rows,
        report=report,
        details=details(told),
        verdict={} if told.verdict is None else told.verdict.as_dict() | {"text": report.splitlines()[0]},
        directions=direction.directions if len(direction.directions) else None,
        lineages=_lineages(followed, ends),
        settings=chosen_settings(problem, options, followed)
        | {"schedule": asdict(plan.schedule), "sparsity_options": build_sparsity(options, plan).config()},
    )


def _told(
    problem: FitProblem,
    options: FitOptions,
    followed: Followed,
    evidence: Evidence,
    direction: DirectionTest,
    main: Ingredients,
    ends: pd.DataFrame | None,
) -> Told:
    """Return everything that the report is made from."""
    choice = followed.choice
    used = None if problem.prior is None else main.uses_prior(choice.prior_weight)
    whole = followed.judged_by == LEFT_OUT
    verdict: Verdict | None = None
    if followed.null_models == "compared":
        verdict = verdict_of(choice.errors, followed.errors, prior_used=used, trajectories=whole)
    return Told(
        choice=choice,
        judged_by=followed.judged_by,
        errors=followed.errors,
        verdict=verdict,
        null_models=followed.null_models,
        following=followed.following,
        prior=evidence.report,
        prior_used=used,
        figures=evidence.figures,
        trajectories=len(problem.series.originals().rollouts()),
        regulators=None if problem.regulators is None else len(problem.regulators),
        test=errors_on_test_states(problem, followed.candidates[0].model, MODEL),
        trajectory=direction.lines(),
        ends=ends,
        real_time=real_time_figures(problem, evidence.scores) if options.null_models else {},
        alignment=problem.alignment,
        velocity=followed.velocity,
        velocity_cosine=followed.velocity_cosine,
    )


def _figures(
    followed: Followed, field: VectorField, params: Params, evidence: Evidence, direction: DirectionTest
) -> dict[str, float]:
    """Return the figures of the fit, for `uns`."""
    choice, following = followed.choice, followed.following
    found = evidence.figures | sparsity_figures(field, params) | direction.figures
    found |= {"held_out_error": float(choice.errors.mean()), "start_held_out_error": float(choice.start_errors.mean())}
    names = {"trajectory_r2": "r2", "trajectory_r2_median_gene": "r2_median_gene"}
    names |= {"trajectory_r2_other_half": "r2_other_half", "trajectory_r2_smoother": "r2_smoother"}
    found |= {name: float(following[column].mean()) for name, column in names.items() if len(following)}
    if followed.velocity is not None:
        found |= {"velocity_weight": followed.velocity.weight, "velocity_agreement": followed.velocity.agreement}
        found["velocity_cosine"] = followed.velocity_cosine
    if len(following) > 1:
        found["trajectory_r2_lowest"] = float(following["r2"].min())
    epochs = float(len(followed.candidates[0].losses))
    return found | {"epochs": epochs, "best_epoch": epochs, "solver_error": followed.step_error}


def _lineages(followed: Followed, ends: pd.DataFrame | None) -> pd.DataFrame | None:
    """Return how every lineage is followed, and where the model ends where there are several."""
    if ends is None:
        return followed.following if len(followed.following) else None
    return ends.merge(followed.following, on="lineage", how="left") if len(followed.following) else ends


def errors_on_test_states(problem: FitProblem, model: GeneWise, name: str) -> pd.DataFrame | None:
    """Return the errors of the model and of baselines on test states, over that of a constant: `predictor`, `test`.

    Whole trajectories are predicted from their first state, time windows inside a trajectory from the state before. None
    where there is no test state.
    """
    fold = _test_fold(problem)
    if fold is None:
        return None
    baselines = {key: value for key, value in baseline_errors([fold]).items() if key in (CONSTANT, PERSISTENCE, MEAN)}
    found = {name: held_out_error(model, fold)} | {key: float(value[0]) for key, value in baselines.items()}
    return pd.DataFrame({"predictor": list(found), "test": list(found.values())})


def _test_fold(problem: FitProblem) -> Fold | None:
    """Return everything but the test states to learn from, and the test states to evaluate by."""
    series, held = problem.series.originals(), is_test(problem.series)
    runs = series.rollouts("test")
    if not runs:
        return None
    held_out = Trajectories.of([series.states[run] for run in runs], [series.times[run] for run in runs])
    lineage = lineage_codes(problem)[[series.trajectory[run[0]] for run in runs]]
    whole = all(held[series.trajectory[run[0]]] for run in runs)
    return Fold(
        trajectories_of(problem.series, ~held),
        held_out,
        held_out.states[:, 0],
        TEST_TRAJECTORIES if whole else TEST_WINDOWS,
        gene_weights(problem),
        lineages_of(problem, ~held),
        lineage,
    )
