"""Compiled roll-outs: the derivative is that of autograd, and the solver is exact and of second order where it should be."""

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdash.training.edge_sums import NARROW, WIDE, room_for
from scdash.training.rollout_kernel import NOTED, backward, forward
from scdash.training.rollouts import GeneWise, roll_out

GENES, FIRST = 7, np.array([0, 2, 2, 4, 4])
# one sum of few columns; of many; of many and then few; more than are noted at once
NUMBERS = (len(FIRST), NARROW + 8, WIDE + 6, NOTED + 10)


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


def arrays_of(model, intervals, first, start):
    """Return the arguments of compiled roll-outs of some starts (roll-outs, genes) at the steps `first`."""
    steps, number = intervals.shape
    x = np.full((steps + 1, GENES, room_for(number)), np.nan, np.float32)
    x[first, :, np.arange(number)] = start
    active = np.searchsorted(first, np.arange(steps), side="right")
    p, q = np.full((2, steps, GENES, room_for(number)), np.nan, np.float32)
    return active, intervals, *model.layout, x, p, q


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("pairs", [(), ((0, 1), (2, 3))])
@pytest.mark.parametrize("same", [True, False])
def test_values_and_derivatives_are_those_of_autograd(pairs, same, number):
    rng = np.random.default_rng(1)
    model, steps = model_of(0, pairs=pairs), 6
    first = np.sort(np.resize(FIRST, number))
    intervals = np.full((steps, number), 0.4) if same else rng.uniform(0.1, 1, (steps, number))
    intervals, start = intervals.astype(np.float32), rng.random((number, GENES)).astype(np.float32)
    arguments = arrays_of(model, intervals, first, start)
    x = arguments[-3]
    forward(*arguments)
    of_x = rng.normal(size=x.shape).astype(np.float32)
    of_x[:, :, :number] *= np.arange(steps + 1)[:, None, None] > first
    loss, parameters = 0, []
    for k, begun in enumerate(first):
        path, own = reference(model, start[k], intervals[begun:, k])
        np.testing.assert_allclose(x[begun + 1 :, :, k], path.detach().numpy(), atol=1e-5)
        loss = loss + (path * torch.tensor(of_x[begun + 1 :, :, k])).sum()
        parameters.append(own)
    loss.backward()
    found = [np.zeros_like(part) for part in (model.weights.data, model.bias, model.rates)]
    backward(*arguments, of_x.copy(), *found)
    expected = [sum(own[i].grad for own in parameters).numpy() for i in range(3)]
    expected[0] = expected[0][model.weights.nonzero()]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5 * np.abs(b).max())


def test_genes_that_act_in_products_alone_have_features():
    """Features are computed for genes that act; here neither gene of the product has an edge of its own."""
    weights = np.zeros((GENES, GENES + 1))
    weights[4, 0] = weights[5, GENES] = 1.5
    model = GeneWise.of(weights, np.full(GENES, 0.5), np.ones(GENES), [(2, 3)])
    start = np.random.default_rng(5).random((3, GENES)).astype(np.float32)
    intervals = np.full((2, 3), 0.4, np.float32)
    arguments = arrays_of(model, intervals, np.zeros(3, np.int64), start)
    forward(*arguments)
    for k in range(3):
        path, _ = reference(model, start[k], intervals[:, k])
        np.testing.assert_allclose(arguments[-3][1:, :, k], path.detach().numpy(), atol=1e-5)


def test_productions_of_the_last_step_alone_give_the_same_states():
    rng = np.random.default_rng(4)
    model, intervals = model_of(0), rng.uniform(0.1, 1, (6, 40)).astype(np.float32)
    start, first = rng.random((40, GENES)).astype(np.float32), np.zeros(40, np.int64)
    every, last = (arrays_of(model, intervals, first, start) for _ in range(2))
    p, q = np.empty((2, 1, GENES, room_for(40)), np.float32)
    forward(*every)
    forward(*last[:-2], p, q)
    np.testing.assert_array_equal(every[-3][:, :, :40], last[-3][:, :, :40])


@pytest.mark.parametrize("compiled", [forward, backward])
def test_arrays_without_room_for_sums_of_many_columns_are_refused(compiled):
    model, number = model_of(0), 5
    x, (p, q) = np.zeros((3, GENES, number), np.float32), np.zeros((2, 2, GENES, number), np.float32)
    more = (x, model.weights.data, model.bias, model.rates) if compiled is backward else ()
    with pytest.raises(ValueError, match="multiple of 32 columns"):
        compiled(np.full(2, number), np.ones((2, number), np.float32), *model.layout, x, p, q, *more)


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
