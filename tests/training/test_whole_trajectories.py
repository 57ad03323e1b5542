"""Training on whole trajectories: it finds a known system, prunes without a jump, and says when it diverges."""

from dataclasses import replace

import numpy as np
import pytest
import scipy.sparse as sp

from scdash._core.errors import NonFiniteError
from scdash.training.rollouts import GeneWise, Trajectories, errors_from_start, roll_out
from scdash.training.whole_trajectories import Room, Starts, Trainer, WholeTrajectories, mixed_states, squared_error

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


def drawn(trajectories, number=400, **options):
    return Starts.draw(trajectories, number, np.random.default_rng(0), **options)


def test_mixed_starts_lie_between_two_trajectories_of_one_lineage_and_only_when_asked_for():
    states = np.arange(4, dtype=np.float32)[:, None, None] + np.zeros((4, 5, 2), np.float32)  # trajectory k is at k
    several = replace(Trajectories.of(list(states), [np.arange(5.0)] * 4), lineage=np.array([0, 7, 0, 7]))
    found = drawn(several, mixed=True)
    own, place = found.trajectory.astype(float), found.states[:, 0].astype(float)
    other = np.array([2.0, 3.0, 0.0, 1.0])[found.trajectory]  # the other one of the lineage
    assert (np.minimum(own, other) <= place).all() and (place <= np.maximum(own, other)).all()
    away = np.abs(place - own) / 2
    assert 0.15 < away.mean() < 0.35 and away.max() > 0.9  # half of them are mixed with themselves
    np.testing.assert_array_equal(drawn(several).states[:, 0], own)
    alone = replace(several, lineage=None)
    np.testing.assert_array_equal(drawn(alone, mixed=True).states[:, 0], drawn(alone).trajectory)


def test_roll_outs_begin_at_the_states_that_were_drawn():
    true, trajectories = system()
    elsewhere = np.random.default_rng(1).random((1, GENES)).astype(np.float32)
    starts = Starts(np.array([3]), np.array([0]), elsewhere)
    seen = roll_out(true, elsewhere, trajectories.intervals[:1])[0, 1:]
    expected = ((seen - trajectories.states[3, 1:]) ** 2).mean()
    found = squared_error(true, trajectories, starts, np.ones(GENES, np.float32))[0]
    assert found == pytest.approx(expected, rel=1e-5) and found > 1e-4


def test_starts_are_mixed_at_the_same_time_alone():
    states = [np.full((5, 1), 0.0), np.full((5, 1), 1.0), np.full((3, 1), 2.0)]
    times = [np.arange(5.0), 2 * np.arange(5.0), np.arange(3.0)]
    several = replace(Trajectories.of(states, times), lineage=np.zeros(3, np.intp))
    many, rng = np.zeros(300, np.int64), np.random.default_rng(0)
    for first, seen in ((0, {0, 1, 2}), (2, {0, 2}), (3, {0})):  # the second is elsewhere, the third has ended
        found = mixed_states(several, several.lineage, many, many + first, rng)
        assert found.max() == pytest.approx(max(seen), abs=0.1) and len(np.unique(found.round(3))) > 1 or seen == {0}


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


def test_roll_outs_are_evaluated_on_later_states_alone():
    true, trajectories = system()
    weights = np.ones(GENES, np.float32)

    def starts_of(trajectories: Trajectories) -> Starts:
        return Starts(np.array([0]), np.array([8]), trajectories.states[[0], [8]])

    def error_with(states: slice | int) -> float:
        values = trajectories.states.copy()
        values[0, states] = 5
        changed = replace(trajectories, states=values)
        return squared_error(true, changed, starts_of(changed), weights)[0]

    assert error_with(slice(8)) == squared_error(true, trajectories, starts_of(trajectories), weights)[0]
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


def test_a_step_after_pruning_is_that_of_the_model_without_the_pruned_edges():
    true, trajectories = system()
    start = half_right(true)
    whole, small = (Trainer(start, trajectories, WholeTrajectories(batch_size=8), 3) for _ in range(2))
    kept = np.arange(len(start.weights.data)) % 3 > 0
    for trainer in (whole, small):
        trainer.train(2)
        trainer.prune(kept)
    assert len(small.edges) == kept.sum()
    whole.edges = None  # computes with the pruned edges, whose weights are 0
    for trainer in (whole, small):
        trainer.train(3)
    np.testing.assert_array_equal(whole.model.weights.data, small.model.weights.data)
    np.testing.assert_array_equal(whole.losses, small.losses)
    assert not small.model.weights.data[~kept].any()


def test_arrays_that_are_used_again_change_no_error():
    true, trajectories = system()
    start = half_right(true)
    ones, room, rng = np.ones(GENES, np.float32), Room(), np.random.default_rng(0)
    for number, longest in ((8, np.inf), (5, np.inf), (8, 0.1), (8, np.inf)):
        starts = Starts.draw(trajectories, number, rng)
        known = squared_error(start, trajectories, starts, ones, longest)
        again = squared_error(start, trajectories, starts, ones, longest, room)
        for one, other in zip(known, again, strict=True):
            np.testing.assert_array_equal(one, other)
