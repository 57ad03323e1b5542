"""Simulated courses obey their equation, and the truth is the edges that act."""

import numpy as np
import pytest
from benchmarks.simulated_courses import DESIGNS, System, _effects, _integrated, simulated_course


def system(*, any_of, protein=None):
    """Return gene 2 with an activator and a repressor, genes 0 and 1, which nothing acts on; input 0 acts on gene 1."""
    return System(
        3, np.array([0, 1]), np.array([2, 2]), np.array([True, False]), np.array([0.5, 0.3]), np.array([2.0, 1.0]),
        np.array([1.0, 2.0, 0.5]), np.array([0.1, 0.0, 0.2]), np.array([False, False, any_of]), protein,
        np.array([-1, -1, -1]), [(0, 1, False)],
    )  # fmt: skip


@pytest.mark.parametrize("any_of", [False, True])
def test_production_joins_the_hill_functions_of_regulators_and_inputs(any_of):
    x, u = np.array([[0.4, 0.6, 0.9]]), np.array([[0.7]])
    activated, repressed = 0.4**2 / (0.4**2 + 0.5**2), 1 - 0.6 / (0.6 + 0.3)
    joined = 1 - (1 - activated) * (1 - repressed) if any_of else activated * repressed
    expected = [0.1 + 0.9 * 0.5, 0.3, 0.2 + 0.8 * joined]
    np.testing.assert_allclose(system(any_of=any_of).production(x, u), [expected])


def test_a_hidden_input_sets_the_activity_of_a_regulator():
    changed = system(any_of=False)
    changed.activity[0] = 0
    seen = 0.4 * (0.15 + 0.85 * 0.7)
    found = changed.production(np.array([[0.4, 0.6, 0.9]]), np.array([[0.7]]))[0, 2]
    expected = seen**2 / (seen**2 + 0.5**2) * (1 - 0.6 / (0.6 + 0.3))
    assert found == pytest.approx(0.2 + 0.8 * expected)


def test_a_gene_without_regulators_relaxes_at_its_rate():
    states = _integrated(system(any_of=True), DESIGNS["random starts"], 2, 5, 0.7, np.random.default_rng(0))
    rest = 0.1 + 0.9 * 0.5
    expected = rest + (states[:, :1, 0] - rest) * np.exp(-1.0 * 0.7 * np.arange(5))
    np.testing.assert_allclose(states[:, :, 0], expected, atol=1e-4)


def test_genes_of_an_operon_share_their_regulators():
    effect, operon = _effects(DESIGNS["one operon"], 9, np.array([4]), np.random.default_rng(1))
    members = np.flatnonzero(operon == 4)
    assert len(members) >= 2 and effect[4, 4] != 0
    assert (effect[:, members] == effect[:, [4]]).all()


def test_a_seed_gives_one_course():
    first, again, other = (simulated_course("qPCR", seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.X, again.X)
    assert first.shape != other.shape or (first.X != other.X).any()


@pytest.mark.parametrize("name", DESIGNS)
def test_courses_have_a_truth_and_times_that_increase(name):
    course, design = simulated_course(name, 0), DESIGNS[name]
    truth = course.varp["truth"]
    assert truth.sum() >= course.n_vars / 3 and not np.diag(truth).any() and np.isfinite(course.X).all()
    assert design.genes[0] <= course.n_vars <= design.genes[1]
    assert course.obs.groupby("series")["time"].apply(lambda times: times.is_monotonic_increasing).all()
