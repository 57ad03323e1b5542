"""R2 of the mean trajectory."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from scdash._data import HalfOfCells
from scdash.dynamics.problem import FitProblem, Units
from scdash.dynamics.reporting.following import following_table, trajectory_r2
from scdash.dynamics.whole_trajectories.folds import make_folds
from scdash.training.rollouts import GeneWise, roll_out

from .data import series_of

TIMES = np.linspace(0, 1, 20)


def observed(genes: int = 6) -> np.ndarray:
    """Genes that rise by 1, 2, ..., (times, genes)."""
    return TIMES[:, None] * np.arange(1, genes + 1)


def test_the_same_trajectory_has_r2_of_one_and_the_mean_over_time_of_zero():
    seen = observed()
    same = trajectory_r2(seen, seen)
    assert (same.top_genes, same.median_gene, same.genes) == (1, 1, 6)
    still = trajectory_r2(seen, np.broadcast_to(seen.mean(axis=0), seen.shape))
    assert still.top_genes == pytest.approx(0) and still.median_gene == pytest.approx(0)


def test_it_is_the_formula_of_its_docstring_over_the_genes_that_change_most():
    seen, rng = observed(), np.random.default_rng(0)
    made = seen + rng.normal(size=seen.shape)
    top = seen[:, 3:], made[:, 3:]  # genes 4, 5, 6 rise most
    expected = 1 - ((top[0] - top[1]) ** 2).sum() / ((top[0] - top[0].mean(0)) ** 2).sum()
    found = trajectory_r2(seen, made, top=3)
    assert found.top_genes == pytest.approx(expected) and found.genes == 3
    each = [1 - ((a - b) ** 2).sum() / ((a - a.mean()) ** 2).sum() for a, b in zip(top[0].T, top[1].T, strict=True)]
    assert found.median_gene == pytest.approx(np.median(each))


def test_genes_are_chosen_by_what_is_observed_not_by_what_is_predicted():
    seen = observed(3)
    made = seen.copy()
    made[:, 0] = 100 * TIMES  # predicted to change most, which it does not
    assert trajectory_r2(seen, made, top=2).top_genes == 1


def test_trajectories_are_averaged_before_they_are_compared():
    seen = observed()
    shift = np.sin(7 * TIMES)[:, None]
    both = np.stack([seen + shift, seen - shift])
    assert trajectory_r2(both, np.stack([seen, seen])).top_genes == pytest.approx(1)
    assert trajectory_r2(both[0], seen).top_genes < 1


def test_flat_genes_do_not_count_and_nothing_is_said_where_nothing_changes():
    seen = observed(2)
    flat = np.column_stack([seen, np.ones(20)])
    noisy = np.column_stack([seen, np.arange(20.0)])
    assert trajectory_r2(flat, noisy).genes == 2 and trajectory_r2(flat, noisy).top_genes == 1
    nothing = trajectory_r2(np.ones((20, 2)), np.zeros((20, 2)))
    assert not nothing.known and nothing.genes == 0


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="observed has the shape"):
        trajectory_r2(np.ones((20, 2)), np.ones((19, 2)))


# The table of a fit.

GENES = 3
UNITS = Units(np.array([1.0, 2.0, 3.0]), np.array([2.0, 1.0, 4.0]))
MODEL = GeneWise.of(sp.csr_matrix((GENES, GENES)), [1.0, 0.0, 0.7], [0.5, 0.3, 1.0])


def problem_of(split=(0, 0, 0), lineage=(0, 0, 1), **more):
    """Return three trajectories that the model makes itself, and their kernel means."""
    start = np.random.default_rng(0).random((3, GENES)).astype(np.float32)
    states = roll_out(MODEL, start, np.ones((3, 7), np.float32), 4).astype(float)
    series = series_of(states, np.array(split)[:, None] * np.ones((1, 8)), names=["a", "b", "c"])
    means = states * UNITS.range + UNITS.minimum
    return FitProblem(series, units=UNITS, lineage=np.array(lineage), kernel_means=means, **more)


def test_a_model_that_makes_the_cells_trajectories_follows_them_in_every_lineage():
    table = following_table(problem_of(), MODEL)
    assert table["lineage"].tolist() == ["a", "c"] and table["genes"].tolist() == [3, 3]
    np.testing.assert_allclose(table[["r2", "r2_median_gene"]], 1, atol=1e-9)
    assert table[["r2_other_half", "r2_smoother"]].isna().all(axis=None)
    named = following_table(problem_of(lineage_names=("T cells", "B cells")), MODEL)
    assert named["lineage"].tolist() == ["T cells", "B cells"]


def test_trajectories_are_compared_with_kernel_means_in_the_units_of_the_data():
    problem = problem_of(lineage=(0, 0, 0))
    seen = problem.kernel_means + np.array([0.0, 0.0, 0.3])
    table = following_table(replace(problem, kernel_means=seen), MODEL)
    expected = trajectory_r2(seen, problem.kernel_means).top_genes
    assert table["r2"].tolist() == [pytest.approx(expected)] and expected < 1


def test_trajectories_for_test_are_no_part_of_it():
    problem = problem_of(split=(0, 2, 0), lineage=(0, 0, 0))
    spoilt = problem.kernel_means.copy()
    spoilt[1] += 9
    np.testing.assert_allclose(following_table(replace(problem, kernel_means=spoilt), MODEL)["r2"], 1, atol=1e-9)


def test_nothing_is_said_without_the_cells():
    assert not len(following_table(replace(problem_of(), kernel_means=None), MODEL))


def test_one_half_is_judged_by_the_other_beside_its_own_smoother():
    problem = problem_of(lineage=(0, 1, 2))
    made = problem.kernel_means
    noise = 0.1 * np.random.default_rng(1).normal(size=made.shape)
    half = HalfOfCells(np.stack([made + noise, made + 5]), made, np.arange(8.0))  # the second was drawn again
    problem = replace(problem, learning_halves=(half,))
    folds = make_folds(problem)
    start = (made[:, 0] - UNITS.minimum) / UNITS.range
    (fold,) = (replace(one, start=start.astype(np.float32)) for one in folds)
    table = following_table(problem, MODEL, [fold], [MODEL])
    np.testing.assert_allclose(table["r2_other_half"], 1, atol=1e-9)
    smoother = [trajectory_r2(made[k], (made + noise)[k]).top_genes for k in range(3)]
    np.testing.assert_allclose(table["r2_smoother"], smoother, rtol=1e-4)
