"""The active-set solver against scikit-learn and against the optimality conditions."""

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import MultiTaskElasticNet

from scdash.paired.design import Design
from scdash.paired.group_elastic import Penalty, active_set_solution, optimality, proximal_gradient, shrink_rows
from scdash.paired.standardize import Scale

PLAIN = Scale(np.zeros(30), np.ones(30))


def group_elastic_net(
    design: Design, cross: np.ndarray, penalty: Penalty, start: np.ndarray | None = None
) -> np.ndarray:
    found, settled = active_set_solution(design, cross, penalty, start)
    assert settled
    return found


def problem(seed: int, n: int = 60, p: int = 30, r: int = 3) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p)) + rng.normal(size=(n, 1))  # correlated columns
    return x, x[:, :4] @ rng.normal(size=(4, r)) + rng.normal(size=(n, r))


@pytest.mark.parametrize(("lam", "alpha"), [(0.5, 1.0), (0.2, 0.5), (0.05, 1.0), (2.0, 0.9)])
def test_equals_scikit_learn(lam: float, alpha: float) -> None:
    x, t = problem(0)
    design = Design(x, PLAIN)
    ours = group_elastic_net(design, design.cross(t), Penalty(lam, alpha))
    theirs = MultiTaskElasticNet(alpha=lam, l1_ratio=alpha, fit_intercept=False, tol=1e-12, max_iter=100_000)
    np.testing.assert_allclose(ours, theirs.fit(x, t).coef_.T, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0.02, 0.9), alpha=st.floats(0.1, 1.0))
def test_no_perturbation_improves_the_objective(seed: int, share: float, alpha: float) -> None:
    x, t = problem(seed)
    design = Design(x, PLAIN)
    cross = design.cross(t)
    penalty = Penalty(share * float(np.linalg.norm(cross, axis=1).max()) / alpha, alpha)
    found = group_elastic_net(design, cross, penalty)

    def objective(w: np.ndarray) -> float:
        rows = np.linalg.norm(w, axis=1).sum()
        return np.sum((t - x @ w) ** 2) / (2 * len(x)) + penalty.group * rows + penalty.ridge * np.sum(w**2) / 2

    best = objective(found)
    rng = np.random.default_rng(seed)
    for size in (1e-3, 1e-1):
        assert objective(found + size * rng.normal(size=found.shape)) > best
        moved = found.copy()
        moved[rng.integers(len(found))] += size
        assert objective(moved) > best - 1e-12


def test_nothing_is_selected_from_lambda_max_on() -> None:
    x, t = problem(1)
    design = Design(x, PLAIN)
    top = float(np.linalg.norm(design.cross(t), axis=1).max())
    assert not group_elastic_net(design, design.cross(t), Penalty(top * 1.0001)).any()
    assert np.any(group_elastic_net(design, design.cross(t), Penalty(top * 0.999)), axis=1).sum() == 1


def test_sparse_matrix_equals_dense() -> None:
    x, t = problem(2)
    x = np.where(x > 0.5, x, 0)
    scale = Scale.learn(x)
    dense, sparse = Design(x, scale), Design(sp.csr_matrix(x), scale)
    genes = np.array([3, 17, 5])
    np.testing.assert_allclose(sparse.cross(t), dense.cross(t), atol=1e-12)
    np.testing.assert_allclose(sparse.gram(genes), dense.gram(genes), atol=1e-12)
    np.testing.assert_allclose(dense.gram(genes), scale.apply(x).T @ scale.apply(x)[:, genes] / len(x), atol=1e-12)
    found = [group_elastic_net(d, d.cross(t), Penalty(0.2)) for d in (dense, sparse)]
    np.testing.assert_allclose(*found, atol=1e-8)


def test_warm_start_changes_nothing_but_time() -> None:
    x, t = problem(3)
    design = Design(x, PLAIN)
    cold = group_elastic_net(design, design.cross(t), Penalty(0.1))
    warm = group_elastic_net(design, design.cross(t), Penalty(0.1), start=np.ones_like(cold))
    np.testing.assert_allclose(cold, warm, atol=1e-8)


def test_gram_columns_are_computed_once() -> None:
    x, _ = problem(4)
    design = Design(x, PLAIN)
    full = x.T @ x / len(x)
    np.testing.assert_allclose(design.gram(np.array([4, 2])), full[:, [4, 2]])
    np.testing.assert_allclose(design.gram(np.array([2, 9, 4])), full[:, [2, 9, 4]])
    assert design._gram.shape[1] == 3


def test_shrinking_is_the_proximal_step() -> None:
    """Brute force over the length of a row: minimise 1/2 (s - |v|)^2 + amount s."""
    row = np.array([[3.0, 4.0], [0.3, 0.4]])
    grid = np.linspace(0, 6, 60_001)
    for k, norm in enumerate((5.0, 0.5)):
        best = grid[np.argmin(0.5 * (grid - norm) ** 2 + 1.2 * grid)]
        np.testing.assert_allclose(shrink_rows(row, 1.2)[k], row[k] / norm * best, atol=1e-3)


def test_solver_reaches_the_optimality_conditions_on_nearly_equal_columns() -> None:
    rng = np.random.default_rng(5)
    base = rng.normal(size=(80, 1))
    x = base + 1e-3 * rng.normal(size=(80, 10))
    gram, cross = x.T @ x / 80, x.T @ rng.normal(size=(80, 2)) / 80
    penalty = Penalty(0.01 * float(np.linalg.norm(cross, axis=1).max()))
    found = proximal_gradient(gram, cross, penalty, np.zeros((10, 2)), 1e-9)
    assert optimality(gram, cross, penalty, found) <= 1e-9
