"""Measured velocities beside trajectories: rows, their weights, and what they teach a regression."""

from dataclasses import replace

import numpy as np
import pytest

from scdash._data import VelocityRows
from scdash._data.velocity.cell_velocity import FEWEST_TO_HALVE, CellVelocity
from scdash._data.velocity.velocity_rows import whole_from_halves
from scdash.dynamics.comparisons.null_models import shuffled_in_time
from scdash.dynamics.whole_trajectories.measured_velocity import calibration
from scdash.dynamics.whole_trajectories.start import regression_start
from scdash.dynamics.whole_trajectories.velocity_weight import mean_cosine, velocity_cosine, worth_its_weight
from scdash.regression import WeightedVelocity
from scdash.regression.cells import with_velocity
from scdash.regression.problems import Regression
from scdash.training.rollouts import GeneWise, Trajectories, roll_out

GENES = 12


@pytest.fixture(scope="module")
def truth():
    rng = np.random.default_rng(0)
    weights = np.where(rng.random((GENES, GENES)) < 0.2, rng.normal(0, 2, (GENES, GENES)), 0)
    np.fill_diagonal(weights, 0)
    return GeneWise.of(weights, 0.5 + 0 * weights[0], np.full(GENES, 0.3), ())


def true_velocity(model, states):
    phi = (states - 0.5) / (1 + np.abs(states - 0.5))
    return model.rates * (phi @ model.weights.toarray().T + model.bias - states)


def rows_of(model, number=150, seed=1, noise=0.02):
    rng = np.random.default_rng(seed)
    states = rng.random((number, GENES))
    velocities = true_velocity(model, states) + noise * rng.normal(size=(number, GENES))
    even = np.full(number, 1e-4)
    return VelocityRows(states, velocities, even, even, np.ones(GENES))


@pytest.fixture(scope="module")
def trajectories(truth):
    start = np.random.default_rng(2).random((1, GENES)).astype(np.float32)
    path = roll_out(truth, np.repeat(start, 3, 0), np.full((3, 19), 0.5, np.float32), 4)
    path = path + 0.01 * np.random.default_rng(3).normal(size=path.shape)
    return Trajectories.of(list(path), [0.5 * np.arange(20.0)] * 3)


def test_velocities_teach_what_one_trajectory_cannot(truth, trajectories):
    held = rows_of(truth, seed=4)
    alone = regression_start(trajectories)
    taught = regression_start(replace(trajectories, velocity=rows_of(truth)), velocity_weight=1.0)
    assert velocity_cosine(taught, held) > 0.8 > velocity_cosine(alone, held) + 0.2
    ignored = regression_start(replace(trajectories, velocity=rows_of(truth)), velocity_weight=0.0)
    np.testing.assert_array_equal(ignored.weights.toarray(), alone.weights.toarray())


def test_unreliable_genes_teach_nothing_new(truth, trajectories):
    """Noise in the velocity of a gene of reliability 0 does not reach any result."""
    rows = rows_of(truth)
    known = np.arange(GENES) != 5
    rows = replace(rows, reliability=known.astype(float))
    wrong = rows.velocities.copy()
    wrong[:, 5] = 100 * np.random.default_rng(0).normal(size=len(rows))
    a, b = (
        regression_start(replace(trajectories, velocity=one), velocity_weight=1.0)
        for one in (rows, replace(rows, velocities=wrong))
    )
    np.testing.assert_array_equal(a.weights.toarray(), b.weights.toarray())


def test_rows_count_by_their_noise_and_together_by_the_weight(truth):
    rows = rows_of(truth, number=4)
    rows = replace(rows, state_variance=np.array([1.0, 1, 1, 3]), velocity_variance=np.array([0.0, 0, 0.25, 0]))
    seen = np.array([True, True, False])
    plain = Regression(np.zeros((3, 2)), np.zeros((3, GENES)), np.array([1.0, 2, 5]), seen, ~seen)
    found = with_velocity(plain, WeightedVelocity(rows, 0.5), np.array([1, 4]), 0.5, 1.0)
    own = found.precision[3:]
    assert own.sum() == pytest.approx(0.5 * 3)  # of the transitions that are fitted
    np.testing.assert_allclose(own / own[0], [1, 1, 1 / 2, 1 / 3])  # 1 + 0.25 / 0.5^2 = 2
    np.testing.assert_allclose(found.y[3:], rows.states + rows.velocities / 0.5)
    assert found.fit[3:].all() and not found.held[3:].any()
    assert found.x.shape == (7, 2)


def test_every_gene_has_a_unit_of_time_of_its_own(truth, trajectories):
    rows = rows_of(truth, noise=0)
    rows = replace(
        rows, states=trajectories.states[0].astype(float), velocities=true_velocity(truth, trajectories.states[0])
    )
    factor = np.linspace(0.1, 5, GENES)
    factor[3] = -1  # points against time
    scale, trusted = calibration(replace(rows, velocities=rows.velocities * factor), trajectories)
    again, _ = calibration(rows, trajectories)
    np.testing.assert_allclose(scale * np.abs(factor), again, rtol=1e-6)
    assert trusted[3] == 0 and np.delete(trusted, 3).mean() > 0.7


def test_noise_is_measured():
    rng = np.random.default_rng(0)
    states = rng.normal(size=(600, GENES))
    states[:, 0] += np.linspace(-30, 30, 600)  # what cells are neighbours by
    velocities = 0.1 * states[:, :1] * np.ones(GENES) + rng.normal(size=(600, GENES))
    velocities[:, 1] = rng.normal(size=600)  # nothing but noise
    known = np.arange(GENES) != 2
    rows = VelocityRows.of_cells(states, velocities, known)
    assert len(rows) == 400
    np.testing.assert_allclose(rows.state_variance.mean(), 1 / 30, rtol=0.4)
    assert rows.reliability[2] == 0 and not rows.velocities[:, 2].any()
    assert rows.reliability[1] < 0.4 < 0.9 < rows.reliability[3]
    scaled = rows.in_units(np.ones(GENES), np.full(GENES, 2.0))
    np.testing.assert_allclose(scaled.velocities, rows.velocities / 2)
    np.testing.assert_allclose(scaled.velocity_variance, rows.velocity_variance / 4)


def test_a_cosine_does_not_depend_on_units_of_genes(truth):
    rows = rows_of(truth)
    made = np.random.default_rng(0).normal(size=rows.velocities.shape)
    factor = np.linspace(0.1, 9, GENES)
    assert mean_cosine(made * factor, replace(rows, velocities=rows.velocities * factor)) == pytest.approx(
        mean_cosine(made, rows)
    )
    assert mean_cosine(rows.velocities, rows) == pytest.approx(1)


def test_shuffled_time_shuffles_velocities(truth, trajectories):
    mixed = shuffled_in_time(replace(trajectories, velocity=rows_of(truth)), 0).velocity
    rows = rows_of(truth)
    assert not np.array_equal(mixed.velocities, rows.velocities)
    np.testing.assert_array_equal(np.sort(mixed.velocities, axis=0), np.sort(rows.velocities, axis=0))
    np.testing.assert_array_equal(mixed.states, rows.states)


NONE = np.array([[-0.12, 0.2], [-0.10, 0.2], [-0.14, 0.2], [-0.11, 0.2]])  # cosine and error of every fold


@pytest.mark.parametrize(
    ("cosine", "error", "worth"),
    [
        ([0.30, 0.28, 0.31, 0.27], 0.2, True),
        ([-0.05, -0.04, -0.06, -0.05], 0.2, False),  # clearly better than without, and still wrong
        ([0.30, -0.10, 0.12, -0.20], 0.2, False),  # clearly better than without, not clearly above chance
        ([-0.12, -0.10, -0.14, -0.11], 0.2, False),
        ([0.30, 0.28, 0.31, 0.27], 0.3, False),  # costs the trajectories
    ],
)
def test_velocities_are_learned_from_where_those_left_out_are_predicted(cosine, error, worth):
    trained = np.column_stack([cosine, error + 0.001 * np.array([-1, 1, -1, 1])])
    assert worth_its_weight(trained, NONE) == worth
    assert not worth_its_weight(trained, trained)


def halved_cells(number=240, seed=0):
    """Return cells whose velocity of every other gene has an error that all cells measured together share."""
    rng = np.random.default_rng(seed)
    states = rng.normal(0, 1, (number, GENES))
    states[:, 0] += np.linspace(-20, 20, number)  # what cells are neighbours by
    wrong = np.arange(GENES) % 2 == 0

    def measure(cells):
        slope = np.where(wrong, rng.choice([-1, 1], GENES), 1.0)  # anew wherever some cells are measured
        return states[cells, :1] * slope * np.ones(GENES), np.ones(GENES, dtype=bool)

    return states, measure, wrong


class Dense:
    def __init__(self, values):
        self.values = values

    def dense_rows(self, cells):
        return self.values[cells]


def test_an_error_that_all_cells_share_makes_a_gene_unreliable():
    """Differences between neighbouring cells do not show it: halves of the cells, each measured on its own, do."""
    agreements = []
    for seed in range(6):
        states, measure, wrong = halved_cells(seed=seed)
        rows = CellVelocity(Dense(states), measure, by_parts=True).rows(np.arange(240), np.random.default_rng(seed))
        alone = CellVelocity(Dense(states), measure).rows(np.arange(240), np.random.default_rng(seed))
        assert alone.reliability.min() > 0.9
        assert rows.reliability[~wrong].min() > 0.9
        agreements.append(rows.reliability[wrong])
    assert np.mean(agreements) < 0.5  # a half of the signs agree by chance, both times in a quarter


def test_few_cells_are_not_halved():
    states, measure, _ = halved_cells(number=FEWEST_TO_HALVE - 1)
    rows = CellVelocity(Dense(states), measure, by_parts=True).rows(np.arange(len(states)), np.random.default_rng(0))
    assert rows.reliability.min() > 0.9


def test_agreement_is_the_cosine_with_the_nearest_row_of_the_other_half(truth):
    rows = rows_of(truth, number=30, noise=0)
    order = np.random.default_rng(0).permutation(30)
    other = replace(
        rows, states=rows.states[order] + 1e-4, velocities=rows.velocities[order] * np.linspace(-1, 2, GENES)
    )
    np.testing.assert_allclose(rows.agreement(other), np.sign(np.linspace(-1, 2, GENES)), atol=1e-9)
    np.testing.assert_allclose(whole_from_halves(np.array([-0.5, 0, 0.5, 1])), [0, 0, 2 / 3, 1])
