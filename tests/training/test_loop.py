"""The training loop on systems whose answer is known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from scdash._core.errors import NonFiniteError
from scdash._data import TimeSeries
from scdash.fields import Phoenix
from scdash.solve import integrate
from scdash.sparsity import GeometricSchedule, Prior, as_sparsity
from scdash.training import Problem, TrainConfig, TrainState, examples_from, fingerprint, run_epoch, start_state, train

N = 6
TIMES = np.array([0.0, 1.0, 2.5, 4.0])


@pytest.fixture(scope="module")
def series():
    """24 trajectories of a known gene-wise PHOENIX, 20 for training and 4 for validation."""
    rng = np.random.default_rng(0)
    field = Phoenix(N)
    effects = np.zeros((N, N))
    effects[1, 0], effects[2, 1], effects[3, 2], effects[4, 0], effects[5, 4] = 1.5, -1.2, 1.0, -0.8, 1.1
    params = {
        "U_sums": torch.tensor(effects)[None],
        "bias": torch.full((1, N), 0.5, dtype=torch.float64),
        "v": torch.full((1, N), 0.6, dtype=torch.float64),
    }
    start = torch.tensor(rng.random((1, 24, N)))
    states = integrate(field.bind(params), start, torch.tensor(TIMES), steps=20)[:, 0].numpy()  # (times, 24, N)
    return TimeSeries(
        states=states.transpose(1, 0, 2).reshape(-1, N),
        times=np.tile(TIMES, 24),
        trajectory=np.repeat(np.arange(24), len(TIMES)),
        names=tuple(f"s{i}" for i in range(24)),
        split=np.repeat(np.where(np.arange(24) < 20, 0, 1), len(TIMES)).astype(np.int8),
        genes=pd.Index([f"g{i}" for i in range(N)]),
    )


def make_problem(series, *, sparsity="none", prior=None, returnable_from=0, seed=1, folds=None, **config):
    pairs = series.pairs("train")
    member = None if folds is None else np.stack([np.isin(series.trajectory[pairs[:, 0]], fold) for fold in folds])
    settings = {"max_epochs": 20, "batch_size": 16, "learning_rate": 0.02, "steps": 2} | config
    return Problem(
        field=Phoenix(N),
        sparsity=as_sparsity(sparsity) if isinstance(sparsity, str) else sparsity,
        train=examples_from(series, pairs, member=member).to(torch.device("cpu"), torch.float32),
        validation=examples_from(series, series.pairs("validation")).to(torch.device("cpu"), torch.float32),
        config=TrainConfig(**settings),
        prior=prior,
        seed=seed,
        returnable_from=returnable_from,
    )


def weights(models=1, seed=0):
    return Phoenix(N).init(models, torch.Generator().manual_seed(seed))


def test_a_known_system_is_learned(series):
    problem = make_problem(series, max_epochs=150)
    result = train(problem, start_state(problem, weights()), progress=False)
    assert result.validation_loss[0] < 0.02 * result.history["validation_loss"].iloc[0]
    assert result.best_epoch[0] == result.history["validation_loss"].idxmin()
    learned = result.params["v"].relu()[0, :, None] * result.params["U_sums"][0]
    assert set(learned.abs().flatten().topk(5).indices.tolist()) == {6, 13, 20, 24, 34}  # target * 6 + regulator


def test_a_stack_equals_its_models_trained_alone(series):
    both = make_problem(series, max_epochs=6)
    stacked = {k: torch.cat([weights(seed=0)[k], weights(seed=5)[k]]) for k in weights()}
    together = train(both, start_state(both, stacked), progress=False)
    alone = train(both, start_state(both, weights(seed=0)), progress=False)  # model 0 has the same stream either way
    for name, value in alone.params.items():
        torch.testing.assert_close(together.params[name][:1], value, rtol=1e-4, atol=1e-6)


def test_folds_see_only_their_own_trajectories(series):
    """Data of other folds may be anything: it must not reach the model."""
    folds = [np.arange(0, 10), np.arange(10, 20)]
    wild = series.states.copy()
    wild[(series.trajectory >= 10) & (series.trajectory < 20)] = 0.3
    results = []
    for data in (series, replace(series, states=wild)):
        problem = make_problem(data, max_epochs=3, folds=folds)
        state = start_state(problem, {k: v.repeat(2, *[1] * (v.ndim - 1)) for k, v in weights().items()})
        for _ in range(3):
            run_epoch(problem, state)
        results.append(state)
    for name in results[0].params:
        torch.testing.assert_close(results[0].params[name][0], results[1].params[name][0], rtol=0, atol=0)
        assert not torch.equal(results[0].params[name][1], results[1].params[name][1])


def test_resuming_continues_bit_for_bit(series, tmp_path):
    schedule = GeometricSchedule(first=0.3, first_epoch=2, then=0.1, every=3)
    method = as_sparsity("dash", schedule=schedule)
    prior = Prior(torch.ones(N, N))
    whole = make_problem(series, sparsity=method, prior=prior, max_epochs=13)
    uninterrupted = train(whole, start_state(whole, weights()), progress=False)

    path = tmp_path / "run.npz"
    first = make_problem(series, sparsity=method, prior=prior, max_epochs=7, checkpoint_every=1)
    state = start_state(first, weights())
    mark = fingerprint(first, state)
    train(first, state, checkpoint=path, fingerprint=mark, progress=False)
    fresh = start_state(whole, weights())
    assert fingerprint(whole, fresh) == mark
    resumed = train(whole, fresh, checkpoint=path, fingerprint=mark, progress=False)
    for name, value in uninterrupted.params.items():
        assert torch.equal(resumed.params[name], value)
    pd.testing.assert_frame_equal(resumed.history, uninterrupted.history)


def test_a_checkpoint_of_another_run_is_refused(series, tmp_path):
    path = tmp_path / "run.npz"
    problem = make_problem(series, max_epochs=2, checkpoint_every=1)
    train(problem, start_state(problem, weights()), checkpoint=path, fingerprint="one", progress=False)
    with pytest.raises(ValueError, match="other data, settings or seed"):
        train(problem, start_state(problem, weights()), checkpoint=path, fingerprint="two", progress=False)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ValueError, match="no readable scdash checkpoint"):
        train(problem, start_state(problem, weights()), checkpoint=path, fingerprint="one", progress=False)


def test_the_model_returned_is_never_from_before_the_sparsity_was_reached(series):
    schedule = GeometricSchedule(first=0.8, first_epoch=8, then=0)
    problem = make_problem(series, sparsity=as_sparsity("imp", schedule=schedule), max_epochs=12, returnable_from=8)
    result = train(problem, start_state(problem, weights()), progress=False)
    assert result.best_epoch[0] >= 8
    kept = 30 - round(0.8 * 30)  # 30 weights off the diagonal
    assert int((result.params["U_sums"] != 0).sum()) == kept
    assert result.history.loc[result.history["pruned"], "epoch"].tolist() == [8]


def test_pruned_weights_stay_zero_and_rates_reset(series):
    schedule = GeometricSchedule(first=0.5, first_epoch=1, then=0.2, every=4)
    problem = make_problem(series, sparsity=as_sparsity("imp", schedule=schedule), max_epochs=9, patience=100)
    state = start_state(problem, weights())
    for _ in range(9):
        run_epoch(problem, state)
        assert not state.params["U_sums"][~state.masks["U_sums"]].any()
    rates = pd.DataFrame(state.history).set_index("epoch")["learning_rate"]
    assert rates[4] == pytest.approx(0.02) and rates[8] == pytest.approx(0.02)


def test_stopping_is_per_model(series):
    problem = make_problem(series, max_epochs=60, patience=3, learning_rate=0.05)
    state = start_state(problem, {k: v.repeat(2, *[1] * (v.ndim - 1)) for k, v in weights().items()})
    state.params["v"][1] = -1.0  # relu(v) = 0: this model cannot move
    result = train(problem, state, progress=False)
    lengths = result.history.groupby("model")["epoch"].max()
    assert lengths[1] == 3 and lengths[0] > 3


def test_leaving_the_finite_numbers_is_an_error_not_a_result(series):
    problem = make_problem(series, learning_rate=1e6, max_epochs=30)
    with pytest.raises(NonFiniteError, match="Lower `learning_rate`"):
        train(problem, start_state(problem, weights()), progress=False)


def test_state_survives_as_arrays(series):
    problem = make_problem(series, sparsity=as_sparsity("dash"), max_epochs=2)
    state = start_state(problem, weights())
    run_epoch(problem, state)
    again = TrainState.from_arrays(state.to_arrays(), torch.device("cpu"))
    assert again.epoch == 1 and again.history == state.history
    for name, value in state.params.items():
        assert torch.equal(again.params[name], value) and torch.equal(again.moments[name][1], state.moments[name][1])


def test_models_in_double_precision_train_like_those_in_single(series):
    single = make_problem(series, max_epochs=3)
    kept = torch.device("cpu"), torch.float64
    double = replace(single, train=single.train.to(*kept), validation=single.validation.to(*kept))
    found = []
    for problem, dtype in ((single, torch.float32), (double, torch.float64)):
        params = {name: value.to(dtype) for name, value in weights().items()}
        found.append(train(problem, start_state(problem, params), progress=False))
        assert all(value.dtype == dtype for value in found[-1].params.values())
    assert found[1].validation_loss[0] == pytest.approx(float(found[0].validation_loss[0]), rel=1e-3)
