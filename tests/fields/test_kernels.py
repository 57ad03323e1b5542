"""The loops that are compiled, as Python runs them, against dense algebra; compiled ones are tested with the field."""

import numpy as np
import pytest
import scipy.sparse as sp

from scdash.fields import kernels as _kernels


@pytest.fixture
def matrix():
    return sp.random_array((7, 5), density=0.4, rng=np.random.default_rng(0), format="csr")


def test_times_is_the_product(matrix):
    x, out = np.random.default_rng(1).random((5, 3)), np.full((7, 3), 9.0)
    _kernels._times(matrix.indptr, matrix.indices, matrix.data, x, out)
    np.testing.assert_allclose(out, matrix @ x)


def test_sampled_is_the_product_at_the_entries(matrix):
    rng = np.random.default_rng(2)
    left, right, out = rng.random((7, 3)), rng.random((5, 3)), np.zeros(matrix.nnz)
    _kernels._sampled(matrix.indptr, matrix.indices, left, right, out)
    np.testing.assert_allclose(out, (left @ right.T)[matrix.tocoo().coords])


@pytest.mark.parametrize("both", [0, 1])
def test_hill_and_its_gradient(both):
    """phi_S = (x - 1/2) / (|x - 1/2| + 1); the gradient of s phi_S + p log(1 + phi_S) by central differences."""
    rng = np.random.default_rng(3)
    x, genes = rng.uniform(-1, 2, (6, 4)), np.array([4, 1])
    sums, prods = rng.random((2, 4)), rng.random((2, 4)) * both

    def phi(values):
        return (values - 0.5) / (abs(values - 0.5) + 1)

    out = np.zeros((2, 4))
    _kernels._hill(x, genes, out)
    np.testing.assert_allclose(out, phi(x[genes]))
    gradient = np.ones_like(x)  # added to what is there
    if both:
        _kernels._add_hills_gradient(out, sums, prods, genes, gradient)
    else:
        _kernels._add_hill_gradient(out, sums, genes, gradient)

    def total(values):
        return sums * phi(values) + prods * np.log1p(phi(values))

    step = 1e-6
    expected = (total(x[genes] + step) - total(x[genes] - step)) / (2 * step)
    np.testing.assert_allclose(gradient[genes] - 1, expected, rtol=1e-5)
    assert (np.delete(gradient, genes, axis=0) == 1).all()


def test_pairs_and_their_gradient():
    rng = np.random.default_rng(4)
    phi, first, second = rng.random((4, 3)), np.array([0, 2, 3, 1]), np.array([1, 2, 0, 1])
    out = np.zeros((4, 3))
    _kernels._multiply(phi, first, second, out)
    np.testing.assert_allclose(out, phi[first] * phi[second])
    gradient, found = rng.random((4, 3)), np.ones((4, 3))
    _kernels._add_multiply_gradient(phi, first, second, gradient, found)
    expected = np.ones((4, 3))
    np.add.at(expected, first, gradient * phi[second])
    np.add.at(expected, second, gradient * phi[first])
    np.testing.assert_allclose(found, expected)


def test_relaxation_and_its_gradient(matrix):
    rng = np.random.default_rng(5)
    features, x, bias, rate = rng.random((5, 3)), rng.random((7, 3)), rng.random(7), rng.random(7)
    net, velocity = np.zeros((2, 7, 3))
    _kernels._relax(matrix.indptr, matrix.indices, matrix.data, features, x, bias, rate, net, velocity)
    np.testing.assert_allclose(net, matrix @ features + bias[:, None] - x)
    np.testing.assert_allclose(velocity, rate[:, None] * net)
    gradient, (scaled, of_x), of_rate = rng.random((7, 3)), np.zeros((2, 7, 3)), np.zeros((7, 1))
    _kernels._relax_back(gradient, rate, net, scaled, of_x, of_rate)
    np.testing.assert_allclose(scaled, rate[:, None] * gradient)
    np.testing.assert_allclose(of_x, -scaled)
    np.testing.assert_allclose(of_rate, (gradient * net).sum(1, keepdims=True))


def test_whole_activations_and_their_gradient():
    """phi_S, and the gradient of s phi_S + p log(1 + phi_S) - t x by central differences."""
    rng = np.random.default_rng(6)
    x, sums, prods, taken = rng.uniform(-1, 2, 12), *rng.random((3, 12))

    def phi(values):
        return (values - 0.5) / (abs(values - 0.5) + 1)

    out, gradient = np.zeros((2, 12))
    _kernels._hill_all(x, out)
    np.testing.assert_allclose(out, phi(x))
    _kernels._hills_back(out, sums, prods, taken, gradient)

    def total(values):
        return sums * phi(values) + prods * np.log1p(phi(values)) - taken * values

    np.testing.assert_allclose(gradient, (total(x + 1e-6) - total(x - 1e-6)) / 2e-6, rtol=1e-5, atol=1e-8)


def test_gradient_through_rates():
    rng = np.random.default_rng(7)
    (gradient, net), rate = rng.random((2, 2, 3, 4)), rng.random((2, 1, 4))
    scaled, of_rate = np.zeros((2, 3, 4)), np.full((2, 1, 4), 9.0)
    _kernels._rate_back(gradient, rate, net, scaled, of_rate)
    np.testing.assert_allclose(scaled, rate * gradient)
    np.testing.assert_allclose(of_rate, (gradient * net).sum(1, keepdims=True))
