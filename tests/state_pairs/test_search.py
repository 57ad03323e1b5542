"""Successive halving: the budget is kept, the right settings go on, and those end as if all had been trained."""

import math
from dataclasses import dataclass, replace
from types import SimpleNamespace

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from scdash.dynamics.lambda_choice import cross_validate_lambdas
from scdash.dynamics.options import FitOptions
from scdash.resampling.successive_halving import (
    FACTOR,
    Rung,
    errors_since_pruning,
    plan_rungs,
    train_settings,
)
from scdash.sparsity import GeometricSchedule
from scdash.training import Examples
from scdash.training.callbacks import Prune
from scdash.training.examples import epoch_batches


def total_epochs(n: int, max_epochs: int, alike: int, rungs: tuple[Rung, ...]) -> int:
    """Return the epochs of all settings together, those before the first pruning once."""
    epochs, left, last = alike, n, alike
    for rung in (*rungs, Rung(max_epochs, 0)):
        epochs, left, last = epochs + left * (rung.epoch - last), rung.settings, rung.epoch
    return epochs


@given(
    n=st.integers(1, 200),
    max_epochs=st.integers(1, 500),
    early=st.floats(0, 0.999),
    budget=st.floats(2, 12),
)
@settings(max_examples=500, deadline=None)
def test_the_budget_is_kept(n, max_epochs, early, budget):
    alike = int(early * max_epochs)
    least = 2 + (n - 2 - alike) / max_epochs
    try:
        rungs = plan_rungs(n, max_epochs, alike, budget)
    except ValueError:
        assert budget < least + 1e-9  # one cut right after the first pruning, two settings to the end
        return
    assert total_epochs(n, max_epochs, alike, rungs) <= budget * max_epochs + 1e-6
    epochs, left = [alike, *(r.epoch for r in rungs), max_epochs], [n, *(r.settings for r in rungs)]
    assert all(a < b for a, b in zip(epochs, epochs[1:], strict=False))  # compared after the first pruning, all in turn
    assert all(a > b >= 2 for a, b in zip(left, left[1:], strict=False))
    if rungs:  # and not for want of budget
        assert total_epochs(n, max_epochs, alike, ()) > budget * max_epochs


def test_windows_cost_the_same():
    cost = (4 * 300 - 3 - 2 * 297) / (3 - 2 * (1 / 25 + 1 / 9 + 1 / 3))
    exact = 3 + np.cumsum([cost / 25, cost / 9, cost / 3])
    assert FACTOR == 3
    assert plan_rungs(25, 300, 3, 4.0) == tuple(map(Rung, np.floor(exact).astype(int), (9, 3, 2)))
    assert plan_rungs(25, 300, 3, 25.0) == plan_rungs(2, 300, 3, 4.0) == ()
    assert plan_rungs(5, 15, 5, 4.0) == ()  # 5 + 5 * 10 epochs are within the budget
    assert plan_rungs(25, 15, 5, 4.0) == (Rung(6, 3),)  # no time to drop two thirds only


def test_a_budget_that_is_too_small_is_told():
    with pytest.raises(ValueError, match="budget=2.1 does not train 25 settings .* max_epochs=20.* at least 2.9 "):
        plan_rungs(25, 20, 5, 2.1)
    assert plan_rungs(25, 20, 5, 2.9) == (Rung(6, 2),)
    for wrong in (1.5, -1.0, math.nan):
        with pytest.raises(ValueError, match="budget counts trainings .* at least 2"):
            plan_rungs(25, 300, 3, wrong)


@dataclass
class Planted:
    """Known losses (settings, folds, epochs) in place of training; the state says which models are in it."""

    losses: np.ndarray
    pruned: tuple[int, ...]

    def train(self, models, state, until):
        settings_, folds, end = self.losses.shape
        own = list(models) if state is None else [m for m, _ in state.models]
        assert own == list(models) or (state.began == 2 and len(own) == settings_ * folds)
        until = end if until is None else until
        curves = self.losses.reshape(-1, end)[models]
        rows = [(e, k, c[e], e in self.pruned) for e in range(until) for k, c in enumerate(curves)]
        history = pd.DataFrame(rows, columns=["epoch", "model", "validation_loss", "pruned"])

        def of_models(places):
            return SimpleNamespace(models=[(models[p], p) for p in places], began=until, of_models=None)

        return SimpleNamespace(
            validation_loss=tuple(curves[:, 2:until].min(1, initial=np.inf)),
            history=history,
            interrupted=False,
            state=SimpleNamespace(of_models=of_models),
        )


def test_settings_are_compared_by_what_they_reached_since_the_last_pruning():
    losses = np.ones((4, 2, 12))
    losses[:, :, 2:6] = np.array([0.1, 0.4, 0.3, 0.2])[:, None, None]  # good while dense
    losses[:, :, 6:9] = np.array([0.5, 0.2, 0.3, 0.6])[:, None, None]  # after the pruning at epoch 6
    losses[1, 0, 8] = 9.0  # one bad epoch is forgiven
    losses[2, 1, 6:9] = 0.25
    losses[:, :, 9:] = np.array([0.01, 0.3, 0.15, 0.02])[:, None, None]  # what is dropped is never seen again
    found = train_settings(
        Planted(losses, (2, 6)).train, [(0.0,), (0.1,), (0.2,), (0.3,)], 2, alike=2, rungs=(Rung(9, 2),)
    )
    assert found.finished.tolist() == [False, True, True, False]
    assert found.epochs.tolist() == [9, 12, 12, 9]
    np.testing.assert_allclose(found.losses, [[0.5, 0.5], [0.2, 0.2], [0.15, 0.15], [0.6, 0.6]])


def test_models_that_stopped_before_the_last_pruning_keep_their_error():
    rows = [(e, m, 1.0 + e + m, e in (1, 3)) for e in range(5) for m in range(2) if m == 0 or e < 3]
    history = pd.DataFrame(rows, columns=["epoch", "model", "validation_loss", "pruned"])
    trained = SimpleNamespace(history=history, validation_loss=(1.0, 0.7))
    np.testing.assert_allclose(errors_since_pruning(trained), [4.0, 0.7])


@pytest.fixture(scope="module")
def problem(simulated_problem):
    return simulated_problem(10, 1)


# batches that the folds of unequal size fill unequally; some models stop by themselves
TRAINING = {"max_epochs": 30, "batch_size": 15, "steps": 1, "patience": 9}
OPTIONS = FitOptions(encoder="modules", start="random", n_hidden=4, progress=False, training=TRAINING)
GRID = [(a, b) for a in (0.0, 0.3, 0.6, 0.9) for b in (0.0, 0.95)]
FOLDS = ["mean", "fold0", "fold1"]


@pytest.mark.parametrize("start", ["random", "regression"])
@pytest.mark.parametrize("encoder", ["modules", "genes"])
def test_who_goes_on_ends_as_in_the_full_search(problem, encoder, start, caplog):
    options = replace(OPTIONS, encoder=encoder, start=start)
    full = cross_validate_lambdas(problem, options, grid=GRID, n_folds=2)
    halved = cross_validate_lambdas(problem, options, grid=GRID, n_folds=2, budget=4)
    ended = halved["finished"]
    alike = {("modules", "random"): 3, ("genes", "random"): 4}.get((encoder, start), 5)
    rungs = plan_rungs(len(GRID), 30, alike, 4.0)
    assert full["finished"].all() and ended.sum() == rungs[-1].settings < len(GRID)
    pd.testing.assert_frame_equal(halved.loc[ended, FOLDS], full.loc[ended, FOLDS], check_exact=True)
    assert (halved.loc[ended, "epochs"] == full.loc[ended, "epochs"]).all()
    assert (
        halved.loc[halved["chosen"], "mean"].item() == halved.loc[ended, "mean"].min() and ended[halved["chosen"]].all()
    )
    left = [len(GRID), *(rung.settings for rung in rungs)]
    dropped = [rung.epoch for rung, before in zip(rungs, left, strict=False) for _ in range(before - rung.settings)]
    assert sorted(halved.loc[~ended, "epochs"]) == dropped
    assert all(f"epoch {rung.epoch}: {rung.settings} settings go on" in caplog.text for rung in rungs)


def test_halving_is_the_same_in_two_processes_and_in_parts_of_one(problem):
    serial = cross_validate_lambdas(problem, OPTIONS, grid=GRID, n_folds=2, budget=4)
    with joblib.parallel_config("loky", n_jobs=2):
        parallel = cross_validate_lambdas(problem, OPTIONS, grid=GRID, n_folds=2, budget=4)
    pd.testing.assert_frame_equal(parallel, serial, check_exact=True)
    alone = replace(OPTIONS, training=TRAINING | {"max_memory": 1.0})  # one model a part
    # matrix products of a stack may round otherwise than those of one model
    pd.testing.assert_frame_equal(
        cross_validate_lambdas(problem, alone, grid=GRID, n_folds=2, budget=4), serial, rtol=1e-6
    )


def test_a_part_of_the_grid_has_the_errors_of_the_whole(problem):
    whole = cross_validate_lambdas(problem, OPTIONS, grid=GRID[:4], n_folds=1)
    part = cross_validate_lambdas(problem, OPTIONS, grid=GRID[2:3], n_folds=1)
    assert part["mean"].item() == pytest.approx(whole["mean"][2], rel=1e-6)
    assert whole["se"].isna().all()


def test_a_part_of_a_stack_takes_the_steps_of_the_whole():
    member = np.array([[True] * 3 + [False] * 6, [True] * 9])
    examples = Examples(torch.zeros(9, 1), torch.zeros(9, 2), torch.zeros(1, 9, 1), member)
    whole = epoch_batches(examples, 2, 4, seed=0, epoch=5)
    part = epoch_batches(examples.of_models([0]), 1, 4, seed=0, epoch=5, streams=[0])
    assert len(whole) == len(part) == 3
    for (rows, weight), (mine, own) in zip(whole, part, strict=True):
        assert torch.equal(mine, rows[:1]) and torch.equal(own, weight[:1])


def test_rungs_before_a_schedule_has_met_its_target(problem):
    until = replace(
        OPTIONS, schedule=GeometricSchedule(0.7, 3, 0.1, 2, until=0.9)
    )  # nothing may be returned till epoch 24
    full = cross_validate_lambdas(problem, until, grid=GRID, n_folds=1)
    halved = cross_validate_lambdas(problem, until, grid=GRID, n_folds=1, budget=4)
    ended = halved["finished"]
    assert halved["epochs"].min() < 20 and np.isfinite(halved["mean"]).all()
    assert (halved.loc[ended, "mean"] == full.loc[ended, "mean"]).all()


def test_pruning_before_the_first_epoch_and_never(problem):
    at_once = replace(OPTIONS, schedule=GeometricSchedule(0.7, 0, 0.1, 5))
    full = cross_validate_lambdas(problem, at_once, grid=GRID[2:6], n_folds=1)
    halved = cross_validate_lambdas(problem, at_once, grid=GRID[2:6], n_folds=1, budget=3)
    ended = halved["finished"]
    np.testing.assert_allclose(halved.loc[ended, "mean"], full.loc[ended, "mean"], rtol=1e-6)
    assert full["mean"].nunique() > 1
    for never in (GeometricSchedule(first=0.0), GeometricSchedule(first_epoch=30)):
        with pytest.raises(ValueError, match="max_epochs=30 ends before the schedule prunes"):
            cross_validate_lambdas(problem, replace(OPTIONS, schedule=never), grid=GRID, n_folds=1)


def interrupt_at(epoch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Press Ctrl-C once training reaches an epoch."""
    original = Prune.before

    def before(callback, number):
        if number == epoch:
            raise KeyboardInterrupt
        original(callback, number)

    monkeypatch.setattr(Prune, "before", before)


def test_an_interrupt_keeps_those_still_in_the_race(problem, monkeypatch):
    rungs = plan_rungs(6, 30, 3, 3.0)
    assert rungs == (Rung(11, 2),)
    interrupt_at(20, monkeypatch)
    table = cross_validate_lambdas(problem, OPTIONS, grid=GRID[:6], n_folds=1, budget=3)
    assert sorted(table["epochs"]) == [11, 11, 11, 11, 20, 20]
    assert table["mean"].notna().all() and table.loc[table["chosen"], "finished"].item()
    interrupt_at(2, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        cross_validate_lambdas(problem, OPTIONS, grid=GRID[:6], n_folds=1, budget=3)
