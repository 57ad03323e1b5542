"""Ridge with generalised cross-validation against its formula with the hat matrix written out."""

import numpy as np
import pytest

from scdash.paired.design import Design
from scdash.paired.linear_fit import ridge
from scdash.paired.standardize import Scale


def data(n: int, p: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, p))
    y = x[:, :3] @ rng.normal(size=(3, 2)) + rng.normal(size=(n, 2))
    return (x - x.mean(0)) / x.std(0), (y - y.mean(0)) / y.std(0)


@pytest.mark.parametrize(("n", "p"), [(60, 15), (30, 80)])
def test_coefficients_and_gcv_are_the_formulas(n: int, p: int) -> None:
    x, y = data(n, p)
    grid = np.array([0.01, 0.1, 1.0, 10.0])
    found = ridge(Design(x, Scale(np.zeros(p), np.ones(p))), y, grid)
    scores = []
    for lam in grid:
        hat = x @ np.linalg.solve(x.T @ x + n * lam * np.eye(p), x.T) + np.ones((n, n)) / n
        scores.append(n * np.sum((y - hat @ y) ** 2) / (n - np.trace(hat)) ** 2)
    assert found.lam == grid[int(np.argmin(scores))]
    expected = np.linalg.solve(x.T @ x + n * found.lam * np.eye(p), x.T @ y)
    np.testing.assert_allclose(found.coefficients, expected, atol=1e-8)


def test_pure_noise_is_shrunk_away() -> None:
    rng = np.random.default_rng(1)
    x, _ = data(50, 40)
    y = rng.normal(size=(50, 2))
    y -= y.mean(0)
    strong = ridge(Design(x, Scale(np.zeros(40), np.ones(40))), y)
    fitted = x @ strong.coefficients
    assert np.sum(fitted**2) < 0.5 * np.sum(y**2)
