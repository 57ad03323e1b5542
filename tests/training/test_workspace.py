"""Models that have stopped are left out, and the others train on as before; training goes on bit for bit from a file."""

from dataclasses import replace

import pytest
import torch

from scdash.fields import Phoenix
from scdash.sparsity import GeometricSchedule, Score, Sparsity, as_sparsity
from scdash.training import Examples, Problem, TrainConfig, fingerprint, run_epoch, start_state, train
from scdash.training import state_pairs as _state_pairs

SCHEDULE = GeometricSchedule(first=0.7, first_epoch=2, then=0.2, every=3)


def make_problem() -> Problem:
    generator = torch.Generator().manual_seed(0)
    start, end = torch.rand(2, 24, 12, generator=generator)
    examples = Examples(start, torch.tensor([[0.0, 1.0]]).repeat(24, 1), end[None])
    method = as_sparsity("imp", schedule=SCHEDULE)
    field = Phoenix(12, encoder="modules", n_hidden=6)
    return Problem(field, method, examples, examples, TrainConfig(max_epochs=9, batch_size=10, learning_rate=0.01))


def test_resuming_a_pruned_run_continues_bit_for_bit(tmp_path) -> None:
    problem = make_problem()
    params = problem.field.init(2, torch.Generator().manual_seed(1))
    uninterrupted = train(problem, start_state(problem, params), progress=False)
    path = tmp_path / "run.npz"
    object.__setattr__(problem.config, "max_epochs", 7)
    object.__setattr__(problem.config, "checkpoint_every", 7)
    mark = fingerprint(problem, start_state(problem, params))
    train(problem, start_state(problem, params), checkpoint=path, fingerprint=mark, progress=False)
    object.__setattr__(problem.config, "max_epochs", 9)
    resumed = train(problem, start_state(problem, params), checkpoint=path, fingerprint=mark, progress=False)
    assert all(torch.equal(resumed.params[name], value) for name, value in uninterrupted.params.items())


def test_models_that_have_stopped_are_left_out_and_the_others_train_on_as_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    problem = make_problem()
    sizes = []
    bind = Phoenix.bind
    monkeypatch.setattr(Phoenix, "bind", lambda field, p: sizes.append(len(p["v"])) or bind(field, p))
    params = problem.field.init(3, torch.Generator().manual_seed(1))
    plain = train(problem, start_state(problem, params), progress=False)
    assert set(sizes) == {3}
    stopped = start_state(problem, params)
    for _ in range(4):
        run_epoch(problem, stopped)
    monkeypatch.setattr(_state_pairs, "still_training", lambda *_: torch.tensor([True, False, True]))
    before = {name: value[1].clone() for name, value in stopped.params.items()}
    sizes.clear()
    for _ in range(4, 9):
        run_epoch(problem, stopped)
    assert set(sizes) == {2}
    last = stopped.history[-1]
    assert last["epoch"] == 8 and last["model"] == 2
    assert not any(row["epoch"] > 3 and row["model"] == 1 for row in stopped.history)
    for name, value in stopped.params.items():
        expected = before[name] * stopped.masks[name][1] if name in stopped.masks else before[name]
        assert torch.equal(value[1], expected)
    for model in (0, 2):
        assert stopped.best_epoch[model] == plain.best_epoch[model]
        for name, value in plain.params.items():
            torch.testing.assert_close((stopped.best_params[name])[model], value[model])


def test_an_epoch_without_a_model_that_still_trains_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    problem = make_problem()
    state = start_state(problem, problem.field.init(2, torch.Generator().manual_seed(1)))
    run_epoch(problem, state)
    before = {name: value.clone() for name, value in state.params.items()}
    monkeypatch.setattr(_state_pairs, "still_training", lambda *_: torch.tensor([False, False]))
    run_epoch(problem, state)
    assert state.epoch == 2 and len(state.history) == 2  # one row for each model, of the first epoch
    assert all(torch.equal(state.params[name], value) for name, value in before.items())


def test_a_model_that_has_stopped_stays_as_it_is_where_a_score_follows_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Steps(Score):
        def start(self, field, params, generator):
            return {"steps": torch.zeros(len(params["v"]))}

        def after_step(self, seen):
            return {"steps": seen.memory["steps"] + 1}

        def __call__(self, seen):
            scores = {layer.parameter: layer.importance(seen.params) for p in seen.field.paths() for layer in p.layers}
            return scores, seen.memory

    problem = replace(make_problem(), sparsity=Sparsity("steps", score=Steps(), schedule=SCHEDULE))
    state = start_state(problem, problem.field.init(3, torch.Generator().manual_seed(1)))
    run_epoch(problem, state)
    before = {name: value.clone() for name, value in state.params.items()}
    monkeypatch.setattr(_state_pairs, "still_training", lambda *_: torch.tensor([True, False, True]))
    run_epoch(problem, state)
    assert state.memory["steps"].tolist() == [6, 6, 6]  # three batches an epoch
    assert all(torch.equal(state.params[name][1], value[1]) for name, value in before.items())
    assert not all(torch.equal(state.params[name][0], value[0]) for name, value in before.items())
