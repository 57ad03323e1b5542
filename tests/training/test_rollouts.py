"""The solver's steps between observed states, and the gradient through intervals that are divided."""

import pickle
from dataclasses import fields, replace

import numpy as np
import pytest
import scipy.sparse as sp

from scdash.training.rollouts import GeneWise, Trajectories, longest_accurate_step, roll_out, solver_steps, step_error
from scdash.training.whole_trajectories import Starts, squared_error

TIMES = np.array([0.0, 2.0, 3.0, 7.0])


@pytest.fixture
def model():
    rng = np.random.default_rng(0)
    weights = rng.normal(0, 2, (4, 5)) * (rng.random((4, 5)) < 0.7)
    return GeneWise.of(weights, rng.normal(0.5, 0.2, 4), rng.uniform(0.5, 1.5, 4), [(0, 2)])


@pytest.fixture
def trajectories():
    rng = np.random.default_rng(1)
    return Trajectories.of([rng.random((4, 4)) for _ in range(3)], [TIMES, TIMES, 1.5 * TIMES])


def test_no_step_is_longer_than_allowed_and_every_state_is_met(trajectories):
    steps, observed = solver_steps(trajectories.intervals, 1, 1.0)
    assert steps.max() <= 1.0 and observed.tolist() == [0, 3, 5, 11]
    passed = np.concatenate([np.zeros((1, 3)), np.cumsum(steps, axis=0)])[observed]
    np.testing.assert_allclose(passed.T, np.cumsum(np.pad(trajectories.intervals, ((0, 0), (1, 0))), axis=1), rtol=1e-6)
    assert len(solver_steps(trajectories.intervals, 4, np.inf)[0]) == 12


def test_short_steps_agree_with_many_substeps(model, trajectories):
    exact = roll_out(model, trajectories.states[:, 0], trajectories.intervals, 256)
    errors = [
        np.abs(roll_out(model, trajectories.states[:, 0], trajectories.intervals, longest_step=step) - exact).max()
        for step in (np.inf, 1.0, 0.1)
    ]
    assert errors[0] > 5 * errors[1] > 25 * errors[2]


def test_the_accurate_step_meets_the_tolerance_and_a_longer_one_does_not(model, trajectories):
    step = longest_accurate_step(model, trajectories, tolerance=0.01)
    assert step_error(model, trajectories, step) <= 0.01 < step_error(model, trajectories, 2 * step)


def test_the_gradient_holds_where_intervals_are_divided(model, trajectories):
    starts = Starts(np.array([0, 2, 1]), np.array([0, 1, 2]), trajectories.states[[0, 2, 1], [0, 1, 2]])
    ones = np.ones(4, np.float32)
    _, of_weights, of_bias, _ = squared_error(model, trajectories, starts, ones, 0.5)

    def loss(weights, bias):
        moved = model.with_arrays(weights.astype(np.float32), bias.astype(np.float32), model.rates)
        return squared_error(moved, trajectories, starts, ones, 0.5)[0]

    for gradient, place in ((of_weights, 0), (of_bias, 1)):
        for entry in range(3):
            values = [[model.weights.data.astype(float), model.bias.astype(float)] for _ in range(2)]
            values[0][place] = values[0][place].copy()
            values[0][place][entry] += 1e-2
            values[1][place] = values[1][place].copy()
            values[1][place][entry] -= 1e-2
            assert (loss(*values[0]) - loss(*values[1])) / 2e-2 == pytest.approx(gradient[entry], rel=0.02, abs=1e-4)


def test_what_another_process_sends_read_only_can_be_written_to(model, trajectories):
    """ray, and joblib where arrays are large, hand over arrays that cannot be written to."""
    for sent in (model, replace(trajectories, lineage=np.zeros(3, np.intp))):
        buffers: list[pickle.PickleBuffer] = []
        text = pickle.dumps(sent, protocol=5, buffer_callback=buffers.append)
        found = pickle.loads(text, buffers=[bytes(buffer.raw()) for buffer in buffers])
        for field in fields(sent):
            before, after = getattr(sent, field.name), getattr(found, field.name)
            if sp.issparse(before):
                assert (before != after).nnz == 0
                assert all(getattr(after, part).flags.writeable for part in ("data", "indices", "indptr"))
            elif before is not None:
                np.testing.assert_array_equal(after, before)
                assert after.flags.writeable


def test_places_of_edges_have_one_type_whatever_the_matrix_has():
    """Loops are compiled for each type, which takes seconds."""
    matrix = sp.csr_array(np.eye(4))
    matrix.indices, matrix.indptr = matrix.indices.astype(np.int64), matrix.indptr.astype(np.int64)
    found = GeneWise.of(matrix, np.zeros(4), np.ones(4))
    for one in (found, found.of_edges(np.array([0, 2])), found.with_arrays(*(np.ones(4, np.float32),) * 3)):
        assert one.weights.indices.dtype == one.weights.indptr.dtype == np.int32
