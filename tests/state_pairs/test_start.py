"""Hidden units that take over the network found by matching."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from scdash.dynamics.lambda_choice import default_grid
from scdash.dynamics.options import FitOptions
from scdash.dynamics.state_pairs.start import matched_start
from scdash.fields import Phoenix
from scdash.networks import effects


@pytest.fixture
def found():
    rng = np.random.default_rng(0)
    network = sp.random_array((9, 9), density=0.5, rng=rng, format="csr")
    return SimpleNamespace(effects=network, rates=rng.random(9) + 0.5, bias=rng.random(9))


@pytest.mark.parametrize("n_hidden", [2, 5, 20])
def test_hidden_units_hold_the_best_approximation_of_the_matched_network(found, n_hidden):
    """Eckart and Young: no matrix of rank m is nearer than the truncated singular value decomposition."""
    field = Phoenix(9, encoder="modules", n_hidden=n_hidden)
    params, masks = matched_start(field, FitOptions(encoder="modules", n_hidden=n_hidden), [found])
    dense = found.effects.toarray()
    singular, rank = np.linalg.svd(dense, compute_uv=False), min(n_hidden, 8)
    error = np.linalg.norm(effects(field, params)[0].numpy() - dense)
    assert error == pytest.approx(np.sqrt((singular[rank:] ** 2).sum()), rel=1e-4, abs=1e-5)
    assert not masks and not params["U_prods"].any()
    np.testing.assert_allclose(params["v"][0], found.rates, rtol=1e-6)


def test_with_enough_units_the_velocity_is_the_matched_one(found):
    """v (U (W phi + b) - x) = v (D phi + bias - x) where D has rank 8 and its columns span the constants."""
    u, s, vt = np.linalg.svd(found.effects.toarray())
    network = u[:, :8] * s[:8] @ vt[:8]
    found.effects, found.bias = sp.csr_array(network), network @ np.ones(9)
    whole, field = Phoenix(9, encoder="genes"), Phoenix(9, encoder="modules", n_hidden=12)
    theirs, _ = matched_start(whole, FitOptions(), [found])
    ours, _ = matched_start(field, FitOptions(encoder="modules", n_hidden=12), [found])
    x = torch.rand(1, 4, 9, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(field.bind(ours)(x), whole.bind(theirs)(x), atol=1e-5, rtol=0)


def test_one_layer_has_one_lambda_and_two_layers_every_pair():
    one = default_grid(FitOptions())
    assert one == [(value, value) for value, _ in one] and len(one) == 5
    two = default_grid(replace(FitOptions(), encoder="modules"))
    assert len(set(two)) == 25 and set(one) < set(two)
