"""Derivatives by probes against the full Jacobian of the flow, and against finite changes."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr

from scdash._errors import NonFiniteError
from scdash.networks._influence import Perturbations, gene_influence
from scdash.networks._influence_local import local_influence
from scdash.solve import integrate

_spec = importlib.util.spec_from_file_location("influence_models", Path(__file__).with_name("test_influence.py"))
shared = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(shared)


def jacobians(model, starts, times):
    """dx_i(t) / dx_j(0) in units of the field, (starts, times, i, j)."""
    weights = {name: value.detach() for name, value in model.weights.items()}
    velocity = model.field.bind(weights)

    def flow(z):
        return integrate(velocity, z[None, None], torch.as_tensor(times), solver="rk4", steps=8)[1:, 0, 0]

    z = (torch.as_tensor(starts) - model.minimum) / model.range
    return np.stack([torch.autograd.functional.jacobian(flow, row).numpy() for row in z])


def test_probes_estimate_the_jacobian_without_its_diagonal():
    scale = np.linspace(0.5, 3, 12)
    model, times = shared.a_model(scale=scale), np.array([0.0, 1.0, 2.0])
    starts = np.random.default_rng(0).random((8, 12)) * scale
    j = jacobians(model, starts, times)
    j[:, :, np.arange(12), np.arange(12)] = 0
    found = local_influence(model, starts, times, n_probes=40, rng=1)
    count = 8 * 2 * 11
    # pi / 2 / sqrt(8 * 40) = 9 %; three of these, and a little for what is left of each gene's effect on itself
    np.testing.assert_allclose(found.absolute, np.abs(j).sum((0, 1, 2)) / count, rtol=0.3)
    np.testing.assert_allclose(found.signed, j.sum((0, 1, 2)) / count, atol=0.1 * found.absolute.max())
    miss = np.abs(found.absolute - np.abs(j).sum((0, 1, 2)) / count) / found.standard_error
    assert np.mean(miss < 2.5) > 0.75  # the standard error means what it says


def test_units_memory_and_seeds():
    model, times = shared.a_model(), np.array([0.0, 1.0])
    starts = np.random.default_rng(0).random((5, 12))
    one = local_influence(model, starts, times, n_probes=3, rng=2)
    pieces = local_influence(model, starts, times, n_probes=3, rng=2, max_memory=1)
    np.testing.assert_allclose(one.absolute, pieces.absolute, rtol=1e-6)
    double = local_influence(model, starts, times, n_probes=3, rng=2, unit=np.full(12, 2.0))
    np.testing.assert_allclose(double.absolute, one.absolute, rtol=1e-6)  # a common unit cancels
    assert (local_influence(model, starts, times, n_probes=3, rng=3).absolute != one.absolute).any()
    with pytest.raises(ValueError, match="two probes"):
        local_influence(model, starts, times, n_probes=1)


def test_equals_finite_influence_where_changes_are_small():
    model, rng = shared.a_model(40, encoder="genes", zero=(3, 4)), np.random.default_rng(0)
    starts = rng.random((25, 40))
    times = np.array([0.0, 1.0, 2.0])
    finite = gene_influence(model, Perturbations(starts, starts + 1e-3, times))
    local = local_influence(model, starts, times, n_probes=16)
    np.testing.assert_array_equal(local.absolute[[3, 4]], 0)
    moved = np.delete(np.arange(40), [3, 4])
    # pi / 2 / sqrt(25 * 16) = 8 %
    ratio = local.absolute[moved] / (finite.absolute.mean(1) / 1e-3)[moved]
    assert np.abs(ratio - 1).max() < 0.4
    assert abs(ratio.mean() - 1) < 0.05
    assert spearmanr(local.signed, finite.signed.mean(1)).statistic > 0.9


def test_divergence_names_a_gene():
    field = shared.Explosive(3)
    model = shared.DynamicsModel(field, field.init(1, torch.Generator()), genes=np.array(["a", "b", "c"]))
    with pytest.raises(NonFiniteError, match="derivative by"):
        local_influence(model, np.full((2, 3), 3.0), np.array([0.0, 1.0]))
