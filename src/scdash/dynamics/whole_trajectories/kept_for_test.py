"""Errors on states that the user has kept for test: they take no part in any choice and in no training."""

import pandas as pd

from scdash.dynamics.comparisons.baselines import CONSTANT, MEAN, PERSISTENCE, baseline_errors
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.whole_trajectories.folds import (
    TEST_TRAJECTORIES,
    TEST_WINDOWS,
    Fold,
    gene_weights,
    is_test,
    lineage_codes,
    lineages_of,
    trajectories_of,
)
from scdash.dynamics.whole_trajectories.judging import held_out_error
from scdash.training.rollouts import GeneWise, Trajectories


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
    """Return everything but the test states to learn from, and the test states to judge by."""
    series, held = problem.series.originals(), is_test(problem.series)
    runs = series.rollouts("test")
    if not runs:
        return None
    judged = Trajectories.of([series.states[run] for run in runs], [series.times[run] for run in runs])
    lineage = lineage_codes(problem)[[series.trajectory[run[0]] for run in runs]]
    whole = all(held[series.trajectory[run[0]]] for run in runs)
    return Fold(
        trajectories_of(problem.series, ~held),
        judged,
        judged.states[:, 0],
        TEST_TRAJECTORIES if whole else TEST_WINDOWS,
        gene_weights(problem),
        lineages_of(problem, ~held),
        lineage,
    )
