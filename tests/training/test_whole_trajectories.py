"""Training on whole trajectories: it finds a known system, prunes without a jump, and says when it diverges."""

import numpy as np
import pytest
import scipy.sparse as sp

from scdash._core.errors import NonFiniteError
from scdash.training.rollouts import GeneWise, Trajectories, errors_from_start, roll_out
from scdash.training.whole_trajectories import Starts, Trainer, WholeTrajectories, squared_error

GENES = 20


def system(seed=0):
    rng = np.random.default_rng(seed)
    weights = np.where(rng.random((GENES, GENES)) < 0.15, rng.normal(size=(GENES, GENES)), 0)
    np.fill_diagonal(weights, 0)
    true = GeneWise.of(weights, rng.random(GENES), rng.uniform(0.5, 1.5, GENES))
    states = roll_out(true, rng.random((12, GENES)).astype(np.float32), np.full((12, 9), 0.5, np.float32), 8)
    return true, Trajectories.of(list(states), [np.arange(10) * 0.5] * 12)


def half_right(true):
    return GeneWise.of(true.weights * 0.5, np.full(GENES, 0.5), np.ones(GENES))


def test_training_finds_the_system_that_made_the_trajectories():
    true, trajectories = system()
    start = half_right(true)
    trainer = Trainer(start, trajectories, WholeTrajectories(pull=0.0, learning_rate=2e-2))
    trainer.train(300)
    before, after = (errors_from_start(model, trajectories).mean() for model in (start, trainer.model))
    assert after < 0.02 * before and len(trainer.losses) == 300


def test_equal_seeds_give_equal_models_bit_for_bit():
    true, trajectories = system()
    found = []
    for seed in (0, 0, 1):
        trainer = Trainer(half_right(true), trajectories, WholeTrajectories(), seed)
        trainer.train(20)
        found.append(trainer.model.weights.data)
    assert np.array_equal(found[0], found[1]) and not np.array_equal(found[0], found[2])


def test_a_strong_pull_keeps_the_start():
    true, trajectories = system()
    moved = []
    for pull in (0.0, 100.0):
        trainer = Trainer(half_right(true), trajectories, WholeTrajectories(pull=pull))
        trainer.train(30)
        moved.append(np.abs(trainer.model.weights.data - half_right(true).weights.data).max())
    assert moved[1] < 0.2 * moved[0]


def test_weights_of_genes_say_what_is_learned():
    true, trajectories = system()
    weights = np.r_[1.0, np.zeros(GENES - 1)]
    trainer = Trainer(
        half_right(true), trajectories, WholeTrajectories(pull=0.0, learning_rate=2e-2), gene_weights=weights
    )
    trainer.train(100)
    start = half_right(true)
    gain = [
        errors_from_start(m, trajectories, None, w).mean()
        for w in (weights, 1 - weights)
        for m in (start, trainer.model)
    ]
    assert gain[1] < 0.1 * gain[0] and gain[1] / gain[0] < gain[3] / gain[2]


def test_pruned_edges_stay_zero_and_leave_their_mean_effect_to_the_bias():
    true, trajectories = system()
    trainer = Trainer(true, trajectories, WholeTrajectories())
    kept = np.arange(true.weights.nnz) % 3 > 0
    states = trajectories.states.reshape(-1, GENES)
    centred = states - 0.5
    phi = centred / (1 + np.abs(centred))
    before = (true.weights @ phi.T + true.bias[:, None]).mean(1)
    trainer.prune(kept)
    after = (trainer.model.weights @ phi.T + trainer.model.bias[:, None]).mean(1)
    np.testing.assert_allclose(before, after, atol=1e-5)
    trainer.train(5)
    assert (trainer.model.weights.data[~kept] == 0).all() and (trainer.model.weights.data[kept] != 0).all()


def test_the_gradient_of_the_rates_is_that_of_their_logarithms():
    true, trajectories = system()
    start = GeneWise.of(true.weights, true.bias, np.linspace(0.2, 3, GENES))
    trainer = Trainer(start, trajectories, WholeTrajectories(pull=0.0), seed=3)
    starts, ones = Starts.draw(trajectories, 64, np.random.default_rng(3)), np.ones(GENES, np.float32)
    trainer.differentiate(starts)
    found = trainer.values[2].grad.numpy()
    for gene in (0, 7, 19):
        errors = [
            squared_error(start.with_arrays(start.weights.data, start.bias, rates), trajectories, starts, ones)[0]
            for rates in (
                start.rates * np.where(np.arange(GENES) == gene, np.exp(h), 1).astype(np.float32) for h in (0.01, -0.01)
            )
        ]
        assert found[gene] == pytest.approx((errors[0] - errors[1]) / 0.02, rel=0.02, abs=1e-6)


def test_roll_outs_are_judged_on_later_states_alone():
    true, trajectories = system()
    starts = Starts(np.array([0]), np.array([8]))
    weights = np.ones(GENES, np.float32)

    def error_with(states: slice | int) -> float:
        values = trajectories.states.copy()
        values[0, states] = 5
        return squared_error(true, Trajectories(values, trajectories.intervals, trajectories.lengths), starts, weights)[
            0
        ]

    assert error_with(slice(8)) == squared_error(true, trajectories, starts, weights)[0]
    assert error_with(9) > 1


def test_short_trajectories_are_padded_without_a_trace():
    true, trajectories = system()
    cut = Trajectories.of(
        [trajectories.states[0], trajectories.states[1][:4]], [np.arange(10) * 0.5, np.arange(4) * 0.5]
    )
    alone = Trajectories.of([trajectories.states[1][:4]], [np.arange(4) * 0.5])
    start = half_right(true)
    np.testing.assert_allclose(errors_from_start(start, cut)[1], errors_from_start(start, alone)[0], rtol=1e-6)
    rng = np.random.default_rng(0)
    drawn = Starts.draw(cut, 500, rng)
    assert drawn.first[drawn.trajectory == 1].max() == 2 and (np.diff(drawn.first) >= 0).all()


def test_a_fraction_of_the_roll_outs_begins_at_the_first_state():
    _, trajectories = system()
    anywhere, begun = (Starts.draw(trajectories, 400, np.random.default_rng(1), fraction) for fraction in (0.0, 0.75))
    assert (anywhere.first == 0).mean() < 0.25
    assert 0.75 <= (begun.first == 0).mean() < 0.9
    assert set(begun.trajectory[begun.first == 0]) == set(range(12))


def test_values_that_leave_the_finite_numbers_are_an_error():
    true, trajectories = system()
    wild = GeneWise.of(sp.csr_array(np.full((GENES, GENES), np.inf)), true.bias, true.rates)
    with pytest.raises(NonFiniteError, match="learning rate"):
        Trainer(wild, trajectories, WholeTrajectories()).train(1)


def test_a_trajectory_of_one_state_cannot_be_followed():
    with pytest.raises(ValueError, match="at least two states"):
        Trajectories.of([np.zeros((1, 3))], [np.zeros(1)])
