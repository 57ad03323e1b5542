"""Kernel means of the cells, which a model of the mean trajectory is evaluated against."""

import numpy as np

from scdash._data import Placed, as_expression, kernel_means


def test_means_are_those_of_a_gaussian_kernel_over_the_ranks():
    rng = np.random.default_rng(0)
    position, values = rng.random(300), rng.random((300, 4))
    found = kernel_means(as_expression(values), Placed.of(position, position=position), 8)
    centres = (np.arange(8) + 0.5) / 8
    weights = np.exp(-0.5 * ((position - centres[:, None]) / 0.05) ** 2)
    np.testing.assert_allclose(found[0], weights @ values / weights.sum(1, keepdims=True), rtol=1e-6)


def test_every_trajectory_has_means_of_its_own_cells_and_others_take_no_part():
    position = np.tile(np.linspace(0.01, 0.99, 50), 3)
    lineage = np.repeat(["a", "nobody", "b"], 50)
    values = np.repeat([[1.0], [9.0], [3.0]], 50, axis=0)
    found = kernel_means(as_expression(values), Placed.of(position, lineage, leave_out=lineage == "nobody"), 5)
    np.testing.assert_allclose(found[..., 0], [[1.0] * 5, [3.0] * 5])
