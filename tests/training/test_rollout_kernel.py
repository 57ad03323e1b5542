"""Compiled roll-outs: the derivative is that of autograd, and the solver is exact and of second order where it should be."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdash.training.rollout_kernel import backward, forward
from scdash.training.rollouts import GeneWise, roll_out

GENES, FIRST = 7, np.array([0, 2, 2, 4, 4])


def model_of(seed, *, pairs=((0, 1), (2, 3)), rates=None):
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((GENES, GENES + len(pairs))) < 0.5, rng.normal(size=(GENES, GENES + len(pairs))), 0)
    return GeneWise.of(
        weights,
        rng.random(GENES),
        rng.uniform(0.2, 2, GENES) if rates is None else rates,
        np.array(pairs).reshape(-1, 2),
    )


def reference(model, start, intervals):
    """Return the states after every interval, in double precision, with the parameters that they depend on."""
    weights = torch.tensor(model.weights.toarray(), dtype=torch.float64, requires_grad=True)
    bias = torch.tensor(model.bias, dtype=torch.float64, requires_grad=True)
    rates = torch.tensor(model.rates, dtype=torch.float64, requires_grad=True)

    def production(x):
        u = x - 0.5
        phi = u / (1 + u.abs())
        return bias + weights @ torch.cat([phi, phi[model.pairs[:, 0]] * phi[model.pairs[:, 1]]])

    x, found = torch.tensor(start, dtype=torch.float64), []
    for h in intervals:
        decay, p = torch.exp(-rates * h), production(x)
        a = decay * x + (1 - decay) * p
        x = a + (production(a) - p) * (rates * h - (1 - decay)) / (rates * h)
        found.append(x)
    return torch.stack(found), (weights, bias, rates)


@pytest.mark.parametrize("pairs", [(), ((0, 1), (2, 3))])
@pytest.mark.parametrize("same", [True, False])
def test_values_and_derivatives_are_those_of_autograd(pairs, same):
    rng = np.random.default_rng(1)
    model, steps, number = model_of(0, pairs=pairs), 6, len(FIRST)
    intervals = np.full((steps, number), 0.4) if same else rng.uniform(0.1, 1, (steps, number))
    intervals = intervals.astype(np.float32)
    x = np.zeros((steps + 1, GENES, number), np.float32)
    x[FIRST, :, np.arange(number)] = rng.random((number, GENES))
    begun = x.copy()
    active = np.searchsorted(FIRST, np.arange(steps), side="right")
    scratch = np.empty((2, steps, GENES, number), np.float32)
    arguments = (active, intervals, *model.layout, x, scratch[0], scratch[1])
    forward(*arguments)
    of_x = rng.normal(size=x.shape).astype(np.float32)
    of_x *= np.arange(steps + 1)[:, None, None] > FIRST
    loss, parameters = 0, []
    for k, first in enumerate(FIRST):
        path, own = reference(model, begun[first, :, k], intervals[first:, k])
        np.testing.assert_allclose(x[first + 1 :, :, k], path.detach().numpy(), atol=1e-5)
        loss = loss + (path * torch.tensor(of_x[first + 1 :, :, k])).sum()
        parameters.append(own)
    loss.backward()
    found = [np.zeros_like(part) for part in (model.weights.data, model.bias, model.rates)]
    backward(*arguments, of_x.copy(), *found)
    expected = [sum(own[i].grad for own in parameters).numpy() for i in range(3)]
    expected[0] = expected[0][model.weights.nonzero()]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max())


def test_genes_without_regulators_relax_exactly_whatever_the_step():
    model = GeneWise.of(sp.csr_array((GENES, GENES)), np.linspace(0, 1, GENES), np.linspace(0.1, 30, GENES))
    path = roll_out(model, np.full((1, GENES), 0.7, np.float32), np.full((1, 1), 2.0, np.float32))
    np.testing.assert_allclose(path[0, 1], model.bias + (0.7 - model.bias) * np.exp(-2 * model.rates), atol=1e-6)


def test_a_gene_whose_rate_is_zero_stays_where_it_is():
    model = model_of(2, rates=np.zeros(GENES))
    start = np.random.default_rng(0).random((3, GENES)).astype(np.float32)
    np.testing.assert_allclose(roll_out(model, start, np.ones((3, 4), np.float32))[:, -1], start, atol=1e-6)


def test_the_solver_is_of_second_order():
    model, start = model_of(3), np.random.default_rng(0).random((4, GENES)).astype(np.float32)
    fine = roll_out(model, start, np.full((4, 1), 1.0, np.float32), 256)[:, 1]
    errors = [
        np.abs(roll_out(model, start, np.full((4, 1), 1.0, np.float32), n)[:, 1] - fine).max() for n in (8, 16, 32)
    ]
    slopes = np.diff(np.log2(errors))
    assert (np.abs(slopes + 2) < 0.3).all()
