"""Predicted trajectories: closed forms, interventions, and steps that are short enough."""

import numpy as np
import pytest
import torch

from scdash._core.errors import NonFiniteError
from scdash.fields import Phoenix
from scdash.networks import DynamicsModel, rollout


def model(effects, *, bias=0.5, v=1.0, minimum=None, scale=None):
    n = len(effects)
    params = {
        "U_sums": torch.tensor(effects, dtype=torch.float64)[None],
        "bias": torch.full((1, n), bias, dtype=torch.float64),
        "v": torch.full((1, n), v, dtype=torch.float64),
    }
    genes = [f"g{i}" for i in range(n)]
    return DynamicsModel(Phoenix(n), params, genes=np.array(genes), minimum=minimum, scale=scale)


def test_without_regulators_genes_relax_exponentially_in_the_units_of_the_data():
    minimum, scale = np.array([1.0, -2.0]), np.array([3.0, 0.5])
    m = model(np.zeros((2, 2)), bias=0.4, v=0.7, minimum=minimum, scale=scale)
    start, times = torch.tensor([[2.0, -1.0]], dtype=torch.float64), torch.tensor([0.0, 1.0, 5.0], dtype=torch.float64)
    rest = minimum + scale * 0.4
    expected = rest + (start.numpy() - rest) * np.exp(-0.7 * times.numpy())[:, None, None]
    np.testing.assert_allclose(rollout(m, start, times).numpy(), expected, atol=1e-6)


def test_velocity_is_the_derivative_of_the_rollout():
    m = model(np.array([[0, 1.2], [-0.8, 0]]), minimum=np.array([0.5, 0.0]), scale=np.array([2.0, 4.0]))
    x = torch.tensor([[1.0, 2.0], [0.7, 3.0]], dtype=torch.float64)
    h = 1e-4
    path = rollout(m, x, torch.tensor([0.0, h], dtype=torch.float64))
    torch.testing.assert_close((path[1] - path[0]) / h, m(0.0, x).detach(), rtol=1e-3, atol=1e-3)


def test_a_held_gene_stays_and_its_target_follows():
    m = model(np.array([[0.0, 0.0], [2.0, 0.0]]))
    x, times = torch.tensor([[0.5, 0.5]], dtype=torch.float64), torch.tensor([0.0, 40.0], dtype=torch.float64)
    path = rollout(m, x, times, held={0: torch.tensor([0.0], dtype=torch.float64)})
    assert (path[:, 0, 0] == 0).all()
    rest = 0.5 + 2.0 * (-0.5 / 1.5)  # bias + U phi_S(0)
    assert float(path[-1, 0, 1]) == pytest.approx(rest, abs=1e-6)


def test_fast_genes_do_not_blow_up_the_fixed_step():
    m = model(np.zeros((2, 2)), v=300.0)  # a step of one interval would be far outside rk4's region of stability
    path = rollout(m, torch.tensor([[0.0, 1.0]], dtype=torch.float64), torch.tensor([0.0, 1.0], dtype=torch.float64))
    np.testing.assert_allclose(path[-1].numpy(), 0.5, atol=1e-6)


def test_not_finite_is_an_error_that_names_the_gene():
    m = model(np.zeros((2, 2)))
    start = torch.tensor([[float("inf"), 0.5]], dtype=torch.float64)
    with pytest.raises(NonFiniteError, match="first gene: g0"):
        rollout(m, start, torch.tensor([0.0, 1.0], dtype=torch.float64))
