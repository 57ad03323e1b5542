"""The path solver against scikit-learn, the optimality conditions and brute force."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet, Lasso

from scdash.regression import l1_path


def problem(rows=60, features=25, targets=7, seed=0, mixing=0.6):
    """Correlated standardised features and targets made of three of them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(rows, features)) + mixing * rng.normal(size=(rows, 1))
    truth = np.zeros((features, targets))
    for t in range(targets):
        truth[rng.choice(features, 3, replace=False), t] = rng.normal(size=3)
    y = x @ truth + 0.5 * rng.normal(size=(rows, targets))
    return (x - x.mean(0)) / x.std(0), (y - y.mean(0)) / y.std(0)


def moments(x, y):
    return x.T @ x / len(x), x.T @ y / len(x)


LAMBDAS = np.geomspace(0.6, 0.01, 7)


@pytest.mark.parametrize(("ridge", "nonnegative"), [(0.0, False), (0.3, False), (0.0, True)])
def test_path_equals_coordinate_descent_of_scikit_learn(ridge, nonnegative):
    x, y = problem()
    found = l1_path(*moments(x, y), LAMBDAS, ridge=ridge, nonnegative=nonnegative, tol=1e-10)
    assert found.shape == (7, 25, 7)
    for lam, coefficients in zip(LAMBDAS, found, strict=True):
        for target in range(7):
            options = {"fit_intercept": False, "positive": nonnegative, "tol": 1e-12, "max_iter": 100_000}
            model = (
                ElasticNet(alpha=lam + ridge, l1_ratio=lam / (lam + ridge), **options)
                if ridge
                else Lasso(alpha=lam, **options)
            )
            np.testing.assert_allclose(coefficients[:, target], model.fit(x, y[:, target]).coef_, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10_000),
    rows=st.integers(5, 40),
    features=st.integers(2, 30),
    nonnegative=st.booleans(),
    rank=st.integers(0, 2),
)
def test_solutions_satisfy_the_optimality_conditions(seed, rows, features, nonnegative, rank):
    rng = np.random.default_rng(seed)
    x, y = problem(rows, max(features, 3), 4, seed)
    gram, cross = moments(x, y)
    penalty = rng.choice([0.05, 1.0, 3.0], size=cross.shape)
    allowed = rng.random(cross.shape) < 0.8
    downdate = 0.3 * rng.normal(size=(4, rows, rank)) / np.sqrt(rows)
    downdate = np.einsum("rp,trk->tpk", x, downdate) / np.sqrt(rows)
    lambdas = np.geomspace(0.5, 0.05, 4)[:, None] * rng.uniform(0.5, 2, size=4)
    found = l1_path(
        gram, cross, lambdas, penalty=penalty, allowed=allowed, nonnegative=nonnegative, downdate=downdate, ridge=0.1
    )
    assert np.all(found[:, ~allowed] == 0)
    for lam, s in zip(lambdas, found, strict=True):
        for t in range(4):
            own = gram - downdate[t] @ downdate[t].T + 0.1 * np.eye(len(gram))
            slope = cross[:, t] - own @ s[:, t]
            bound = lam[t] * penalty[:, t]
            used = s[:, t] != 0
            np.testing.assert_allclose(slope[used], (bound * np.sign(s[:, t]))[used], atol=1e-5)
            idle = allowed[:, t] & ~used
            assert np.all((slope if nonnegative else np.abs(slope))[idle] <= bound[idle] + 1e-5)
            assert not nonnegative or np.all(s[:, t] >= 0)


def test_problems_are_solved_as_if_alone_and_share_what_is_given_once():
    folds = [problem(seed=s) for s in range(3)]
    grams, crosses = (np.stack(m) for m in zip(*(moments(*f) for f in folds), strict=True))
    together = l1_path(grams, crosses, LAMBDAS)
    alone = np.stack([l1_path(g, c, LAMBDAS) for g, c in zip(grams, crosses, strict=True)])
    np.testing.assert_allclose(together, alone, atol=1e-7)
    np.testing.assert_allclose(
        l1_path(grams[0], crosses, LAMBDAS)[1], l1_path(grams[0], crosses[1], LAMBDAS), atol=1e-7
    )
    own = np.broadcast_to(LAMBDAS[:, None, None], (7, 3, 7)) * np.array([1, 0.5, 0.1])[:, None]
    np.testing.assert_allclose(l1_path(grams, crosses, own)[1], l1_path(grams[1], crosses[1], LAMBDAS / 2), atol=1e-7)


def test_a_downdate_equals_leaving_the_rows_out():
    x, y = problem()
    left_out = np.arange(60) < 5
    gram, cross = moments(x, y)
    found = l1_path(
        gram, x[~left_out].T @ y[~left_out] / 60, LAMBDAS, downdate=np.stack([x[left_out].T / np.sqrt(60)] * 7)
    )
    kept = x[~left_out]
    np.testing.assert_allclose(found, l1_path(kept.T @ kept / 60, kept.T @ y[~left_out] / 60, LAMBDAS), atol=1e-7)


def test_where_the_path_starts_does_not_matter():
    x, y = problem()
    gram, cross = moments(x, y)
    cold = l1_path(gram, cross, LAMBDAS[5:])
    warm = l1_path(gram, cross, LAMBDAS[5:], start=l1_path(gram, cross, LAMBDAS)[0])
    np.testing.assert_allclose(cold, warm, atol=1e-5)
    np.testing.assert_allclose(cold, l1_path(gram, cross, LAMBDAS)[5:], atol=1e-5)


def test_duplicated_and_constant_features_are_harmless():
    x, y = problem(features=6)
    doubled = np.hstack([x, x, np.zeros((60, 2))])
    found = l1_path(*moments(doubled, y), LAMBDAS)
    once = l1_path(*moments(x, y), LAMBDAS)
    np.testing.assert_allclose(found[:, :6] + found[:, 6:12], once, atol=1e-5)
    assert np.all(found[:, 12:] == 0)


def test_mcp_on_orthogonal_features_is_the_firm_threshold():
    pull = np.linspace(-2, 2, 81)
    found = l1_path(np.eye(81), pull[:, None], np.array([0.5]), mcp=3.0)[0, :, 0]
    shrunk = np.sign(pull) * np.maximum(np.abs(pull) - 0.5, 0) / (1 - 1 / 3.0)
    # Local linear approximation starts from the lasso: it converges linearly inside, and exactly beyond gamma * lambda
    np.testing.assert_allclose(found, np.where(np.abs(pull) > 1.5, pull, shrunk), atol=2e-2)
    np.testing.assert_allclose(found[np.abs(pull) > 2.0 - 1e-9], pull[np.abs(pull) > 2.0 - 1e-9], atol=1e-6)


def test_a_bounded_support_freezes_the_path():
    x, y = problem()
    gram, cross = moments(x, y)
    free, bounded = l1_path(gram, cross, LAMBDAS), l1_path(gram, cross, LAMBDAS, max_active=4)
    counts = (free != 0).sum(axis=1)
    before = np.vstack([np.zeros(7), np.maximum.accumulate(counts, axis=0)[:-1]])  # the step after crossing is frozen
    np.testing.assert_allclose(np.where(before <= 4, (free - bounded).max(axis=1), 0), 0, atol=1e-6)
    stuck = (before > 4)[1:]
    assert stuck.any()
    assert np.all((np.diff(bounded, axis=0) == 0).all(axis=1)[stuck])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lambdas": np.array([0.1, 0.2])}, "not increase"),
        ({"lambdas": np.array([-0.1])}, ">= 0"),
        ({"cross": np.ones((3, 2))}, "fit"),
        ({"mcp": 0.5}, "concavity"),
    ],
)
def test_bad_input_is_named(change, message):
    arguments = {"gram": np.eye(4), "cross": np.ones((4, 2)), "lambdas": np.array([0.1])} | change
    with pytest.raises(ValueError, match=message):
        l1_path(**arguments)


def test_a_start_far_away_takes_no_longer_than_none():
    """A target that is flat in a half-sample, started from coefficients of all the data in units of its noise."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(5, 240))
    gram = x.T @ x / 5
    start = np.zeros((240, 3))
    start[rng.choice(240, 20, replace=False)] = 1e11 * rng.normal(size=(20, 3))
    began = time.perf_counter()
    found = l1_path(gram, np.zeros((240, 3)), np.array([0.6, 0.3]), start=start)
    assert time.perf_counter() - began < 20  # it took minutes
    assert not found.any()


@pytest.mark.slow
@pytest.mark.reference
def test_twenty_cells_taken_as_states_end(reference):
    import anndata as ad

    import scdash

    cells = ad.read_h5ad(reference / "paul15_240" / "paul15_240.h5ad")
    times, first = np.unique(cells.obs["pseudotime_lineage1"].to_numpy(), return_index=True)
    rows = np.sort(np.random.default_rng(0).choice(first[np.isfinite(times)], 20, replace=False))
    began = time.perf_counter()
    scdash.tl.fit_dynamics(
        few := cells[rows].copy(),
        time_key="pseudotime_lineage1",
        observations="states",
        progress=False,
        training=scdash.Training(max_epochs=0),
        validation=scdash.Validation(null_models=False),
    )
    assert time.perf_counter() - began < 100
    assert few.varp["dynamics_grn"].nnz
