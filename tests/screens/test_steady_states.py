"""Steady states: slow convergence is followed to its end, and what never comes to rest is said to."""

import logging

import numpy as np
import pytest

import scdash
from scdash.screens.equilibrium.steady_states import Equilibrium, SteadyStates, steady_states
from scdash.screens.statistics import sigmoid_feature

NONE = np.zeros((1, 1), bool)


def unperturbed(weights: np.ndarray, constant: np.ndarray, slope: float | None = 1.0) -> SteadyStates:
    model, n = Equilibrium(weights, constant, np.zeros(len(constant)), slope), len(constant)
    return steady_states(model, np.zeros((1, n), bool), np.zeros(1, bool), np.zeros((1, n)))


def residual(weights: np.ndarray, constant: np.ndarray, y: np.ndarray, slope: float | None = 1.0) -> float:
    return float(np.abs(constant + sigmoid_feature(y, slope) @ weights - y).max())


@pytest.mark.parametrize("memory", [0.9, 0.99, 0.999, 0.9999])
def test_slow_convergence_in_one_direction_is_not_taken_for_an_oscillation(memory: float) -> None:
    """y = 1 + memory y has the fixed point 1 / (1 - memory); plain steps shrink by `memory` each, so 0.9999 takes 180,000."""
    found = unperturbed(np.array([[memory]]), np.ones(1), slope=None)
    assert found.converged.all()
    np.testing.assert_allclose(found.values, 1 / (1 - memory), rtol=1e-4)


def test_slow_convergence_of_bounded_features() -> None:
    """A gene that activates itself just below the strength at which it would stay on by itself."""
    weights, constant = np.array([[3.999]]), np.array([1e-4])
    found = unperturbed(weights, constant)
    assert found.converged.all() and found.values[0, 0] > 0 and residual(weights, constant, found.values) < 1e-6


@pytest.mark.parametrize("strength", [3.0, 30.0, 200.0])
def test_strong_negative_feedback_comes_to_rest(strength: float) -> None:
    """Undamped steps would jump from side to side for ever."""
    weights, constant = np.array([[0.0, -strength], [strength, 0.0]]) / 4, np.array([0.5, 0.3])
    weights += np.diag([-strength, -strength]) / 4
    found = unperturbed(weights, constant)
    assert found.converged.all() and residual(weights, constant, found.values) < 1e-6


def test_a_ring_of_repressors_oscillates_and_this_is_said() -> None:
    """Gain 5 a gene: the eigenvalues of the ring's only fixed point have real part 5 / 2 - 1 > 0 (Elowitz & Leibler 2000)."""
    ring = -20.0 * np.roll(np.eye(3), 1, axis=1)
    found = unperturbed(ring, np.array([0.1, 0.0, -0.1]))
    assert not found.converged.any() and np.isfinite(found.values).all()
    weak = unperturbed(0.3 * ring, np.array([0.1, 0.0, -0.1]))  # gain 1.5, below 2
    assert weak.converged.all()


def test_a_linear_network_that_diverges_stays_finite_and_this_is_said() -> None:
    found = unperturbed(np.array([[1.5]]), np.ones(1), slope=None)
    assert not found.converged.any() and np.isfinite(found.values).all()


def test_each_perturbation_is_followed_by_itself() -> None:
    """Holding a gene of the ring stops its oscillation; the others go on, and no result depends on the company."""
    ring = -20.0 * np.roll(np.eye(3), 1, axis=1)
    model = Equilibrium(ring, np.array([0.1, 0.0, -0.1]), np.zeros(3))
    targets = np.array([[False, False, False], [True, False, False], [False, True, False]])
    effect = np.where(targets, 1.0, 0.0)
    together = steady_states(model, targets, np.ones(3, bool), effect)
    assert together.converged.tolist() == [False, True, True]
    for row in range(3):
        alone = steady_states(model, targets[[row]], np.ones(1, bool), effect[[row]])
        assert alone.converged[0] == together.converged[row]
        np.testing.assert_allclose(alone.values[0], together.values[row], atol=1e-6)


def test_of_two_stable_states_the_one_nearer_to_the_control_is_found() -> None:
    """A switch (gain 2 at its middle) that is pushed a little: it comes to rest on the side of the push."""
    weights = np.array([[8.0]])
    for push in (0.05, -0.05):
        found = unperturbed(weights, np.array([push]))
        assert found.converged.all() and np.sign(found.values[0, 0]) == np.sign(push)
        assert residual(weights, np.array([push]), found.values) < 1e-6


def test_predictions_say_which_perturbations_do_not_come_to_rest(
    small: "scdash.AnnData", caplog: pytest.LogCaptureFixture
) -> None:
    adata = small.copy()
    scdash.tl.fit_perturbode(adata)
    entry = adata.uns["dynamics"]
    genes = [str(gene) for gene in entry["genes"]]
    labels = [genes[3], genes[4]]
    assert scdash.tl.predict_perturbations(adata, labels).obs["converged"].tolist() == [True, True]
    a = np.zeros((len(genes), len(genes)))
    a[[1, 2, 0], [0, 1, 2]] = -60.0 / float(entry["screen"]["slope"])
    entry["weights"]["A"] = a.astype(np.float32)
    caplog.clear()
    with caplog.at_level(logging.WARNING, logger="scdash"):
        predicted = scdash.tl.predict_perturbations(adata, [genes[0], genes[3], genes[4]])
    assert predicted.obs["converged"].tolist() == [True, False, False]
    assert "2 of 3 perturbations have no steady state" in caplog.text
