"""Measured velocities in training: the derivative is that of autograd, and they change what they are meant to change."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from scdash._data import VelocityRows
from scdash.training import velocity_error as module
from scdash.training.rollouts import GeneWise, Trajectories, roll_out
from scdash.training.velocity_error import ROWS, MeasuredVelocity, velocity_error
from scdash.training.whole_trajectories import Trainer, WholeTrajectories

GENES, PAIRS = 7, ((0, 1), (2, 3))


def model_of(seed, pairs=PAIRS, rates=None):
    rng = np.random.default_rng(seed)
    shape = GENES, GENES + len(pairs)
    weights = np.where(rng.random(shape) < 0.5, rng.normal(size=shape), 0)
    return GeneWise.of(weights, rng.random(GENES), rng.uniform(0.2, 2, GENES) if rates is None else rates, pairs)


def velocity_of(model, states):
    phi = (states - 0.5) / (1 + np.abs(states - 0.5))
    features = np.concatenate([phi, *(phi[:, [a]] * phi[:, [b]] for a, b in model.pairs)], axis=1)
    return model.rates * (features @ model.weights.toarray().T + model.bias - states)


def rows_of(model, number=40, seed=1):
    states = np.random.default_rng(seed).random((number, GENES))
    even = np.full(number, 1e-3)
    return VelocityRows(states, velocity_of(model, states), even, 0 * even, np.ones(GENES))


@pytest.fixture(scope="module")
def trajectories():
    truth = model_of(5, rates=np.full(GENES, 0.4))
    starts = np.random.default_rng(2).random((3, GENES)).astype(np.float32)
    path = roll_out(truth, starts, np.full((3, 9), 0.4, np.float32), 4)
    return Trajectories.of(list(path), [0.4 * np.arange(10.0)] * 3, rows_of(truth))


@pytest.mark.parametrize("pairs", [(), PAIRS])
@pytest.mark.parametrize("block", [1, 20, 1 << 22])
def test_error_and_derivatives_are_those_of_autograd(pairs, block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    rng, model = np.random.default_rng(3), model_of(0, pairs)
    states, velocities = rng.random((2, 11, GENES)).astype(np.float32)
    gene_weights = rng.random(GENES).astype(np.float32)
    weights, bias, rates, x, v = (
        torch.tensor(np.asarray(part), dtype=torch.float64)
        for part in (model.weights.toarray(), model.bias, model.rates, states, velocities)
    )
    parameters = [part.requires_grad_() for part in (weights, bias, rates)]
    phi = (x - 0.5) / (1 + (x - 0.5).abs())
    features = torch.cat([phi, phi[:, model.pairs[:, 0]] * phi[:, model.pairs[:, 1]]], dim=1)
    made = rates * (features @ weights.T + bias - x)
    loss = (torch.tensor(gene_weights) * (made - v) ** 2).mean()
    loss.backward()
    error, *found = velocity_error(model, states, velocities, gene_weights)
    assert error == pytest.approx(loss.item(), rel=1e-5)
    expected = [part.grad.numpy() for part in parameters]
    expected[0] = expected[0][model.weights.nonzero()]
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * np.abs(b).max())


def trained(trajectories, weight, epochs=30, **changes):
    settings = WholeTrajectories(learning_rate=1e-2, batch_size=8, velocity_weight=weight, **changes)
    trainer = Trainer(model_of(8, rates=np.full(GENES, 0.4)), trajectories, settings, seed=4)
    trainer.train(epochs)
    return trainer


def test_the_weight_0_is_training_without_velocities(trajectories):
    alone = trained(replace(trajectories, velocity=None), 1.0)
    ignored = trained(trajectories, 0.0)
    for name in ("bias", "rates"):
        np.testing.assert_array_equal(getattr(ignored.model, name), getattr(alone.model, name))
    np.testing.assert_array_equal(ignored.model.weights.data, alone.model.weights.data)
    assert ignored.losses == alone.losses


def test_velocities_change_no_roll_out(trajectories):
    """Roll-outs are drawn as without velocities: what these change is not chance."""
    drawn = []
    for weight in (0.0, 1.0):
        trainer = trained(trajectories, weight, epochs=3)
        drawn.append(trainer.rng.random())
    assert drawn[0] == drawn[1]


def test_training_goes_to_the_measured_velocities(trajectories):
    rows = trajectories.velocity
    held = np.random.default_rng(9).random((200, GENES))
    truth = velocity_of(model_of(5, rates=np.full(GENES, 0.4)), held)
    errors = [np.mean((velocity_of(trained(trajectories, weight).model, held) - truth) ** 2) for weight in (0, 1, 10)]
    assert errors[0] > errors[1] > errors[2]
    unreliable = replace(trajectories, velocity=replace(rows, reliability=np.zeros(GENES)))
    same = velocity_of(trained(unreliable, 10.0).model, held)
    np.testing.assert_allclose(np.mean((same - truth) ** 2), errors[0], rtol=1e-6)


def test_the_pull_does_not_count_twice_and_the_loss_has_a_share_of_the_velocities(trajectories):
    model = model_of(8, rates=np.full(GENES, 0.4))
    losses = []
    for weight in (0.0, 2.0):
        trainer = Trainer(model, trajectories, WholeTrajectories(velocity_weight=weight), seed=4)
        trainer.differentiate(trainer._draw())
        losses.append(trainer.losses[0])
    seen = MeasuredVelocity.of(trajectories.velocity, model.rates, np.ones(GENES, np.float32))
    states, velocities = seen.draw(np.random.default_rng([4, 1]))
    error = np.mean((velocity_of(model, states) - velocities) ** 2) / 0.4**2
    assert losses[1] - losses[0] == pytest.approx(0.3 * 2 * error, rel=1e-4)


def test_edges_that_were_pruned_stay_away(trajectories):
    settings = WholeTrajectories(learning_rate=1e-2, batch_size=8, velocity_weight=3.0)
    trainer = Trainer(model_of(8, rates=np.full(GENES, 0.4)), trajectories, settings, seed=4)
    kept = np.arange(len(trainer.model.weights.data)) % 2 == 0
    trainer.prune(kept)
    before = trainer.model.weights.data.copy()
    trainer.train(5)
    assert not trainer.model.weights.data[~kept].any()
    assert (trainer.model.weights.data != before)[kept].all()


def test_rows_are_drawn_by_their_precision_and_genes_weighed_by_their_reliability():
    rows = rows_of(model_of(5), number=3)
    rows = replace(rows, state_variance=np.array([1.0, 1, 3]), velocity_variance=np.array([0.0, 0.25, 0]))
    rows = replace(rows, reliability=np.linspace(0, 1, GENES))
    gene_weights = np.linspace(1, 2, GENES).astype(np.float32)
    seen = MeasuredVelocity.of(rows, np.full(GENES, 0.5), gene_weights)
    np.testing.assert_allclose(seen.probability, np.array([6, 3, 2]) / 11)  # of variances 1, 2 and 3
    np.testing.assert_allclose(seen.weights, gene_weights * rows.reliability / 0.25, rtol=1e-6)
    rng = np.random.default_rng(0)
    drawn = np.concatenate([seen.draw(rng)[0][:, 0] for _ in range(50)])
    assert len(drawn) == 50 * ROWS
    for row, probability in enumerate(seen.probability):
        assert np.mean(drawn == np.float32(rows.states[row, 0])) == pytest.approx(probability, abs=0.02)
