"""Which model of a run is kept: the best one since the last pruning that did no harm."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from scdash.fields import Phoenix
from scdash.training import Examples, TrainConfig, TrainState, evaluate
from scdash.training.keep_best import keep_best, still_training
from scdash.training.loss import evaluate_with_error, predict


def kept_epoch(losses, pruned, *, tolerance, error=0.1, returnable_from=0, penalties=None):
    """Return the epoch whose model is kept after a run with these validation losses; the weight is the epoch."""
    config = TrainConfig(tolerance=tolerance)
    state = TrainState.start({"w": torch.zeros(1)}, {"w": torch.ones(1, dtype=torch.bool)}, {}, 1e-3)
    for epoch, loss in enumerate(losses):
        state.epoch = epoch
        state.params["w"] = torch.tensor([float(epoch)])
        if epoch in pruned:
            state.pruned_at = epoch
        penalty = 0.0 if penalties is None else torch.tensor([penalties[epoch]])
        evaluated = torch.tensor([loss]), torch.tensor([error]), torch.tensor([True])
        keep_best(config, state, *evaluated, penalty, returnable_from)
    assert float(state.best_params["w"]) == max(int(state.best_epoch), 0)  # the weights are those of the epoch
    if int(state.best_epoch) >= 0:  # what is reported is the loss alone
        assert float(state.best_validation) == pytest.approx(losses[int(state.best_epoch)])
    return int(state.best_epoch)


def test_models_are_compared_by_loss_and_penalty_together():
    losses, penalties = [1.0, 1.1, 1.2, 1.4], [2.0, 1.5, 1.0, 0.9]
    assert kept_epoch(losses, set(), tolerance=0) == 0
    assert kept_epoch(losses, set(), tolerance=0, penalties=penalties) == 2


def test_a_harmless_pruning_is_kept_and_a_harmful_one_is_not():
    #         dense, lowest | pruned, within one error    | pruned, worse by two errors
    losses = [2.00, 1.00, 1.3, 1.20, 1.08, 1.05, 1.07, 1.50, 1.21, 1.20]
    pruned = {2, 7}
    assert kept_epoch(losses, pruned, tolerance=1) == 5  # the best of its level, not the first that was allowed
    assert kept_epoch(losses, pruned, tolerance=0) == 1
    assert kept_epoch(losses, pruned, tolerance=2.5) == 9


def test_a_new_lowest_loss_always_wins():
    assert kept_epoch([1.0, 1.05, 0.9], {1}, tolerance=1) == 2


losses = st.lists(st.floats(0.125, 2, width=32), min_size=1, max_size=30)


@given(losses=losses, data=st.data())
def test_without_tolerance_the_lowest_loss_is_kept(losses, data):
    pruned = data.draw(st.sets(st.integers(0, len(losses))))
    first = data.draw(st.integers(0, len(losses) - 1))
    assert kept_epoch(losses, pruned, tolerance=0, returnable_from=first) == first + min(
        range(len(losses) - first), key=lambda i: losses[first + i]
    )


@given(losses=losses, tolerance=st.floats(0, 3), data=st.data())
def test_what_is_kept_was_within_the_tolerance_of_the_lowest_so_far(losses, tolerance, data):
    pruned = data.draw(st.sets(st.integers(0, len(losses))))
    kept = kept_epoch(losses, pruned, tolerance=tolerance)
    assert losses[kept] <= min(losses[: kept + 1]) + tolerance * 0.1 + 1e-6
    if kept < len(losses) - 1 and kept + 1 not in pruned:  # no better model of the same level was left out
        assert losses[kept + 1] >= losses[kept]


def test_patience_counts_from_the_lowest_loss():
    state = TrainState.start({"w": torch.zeros(1)}, {}, {}, 1e-3)
    config = TrainConfig(tolerance=1, patience=5)
    state.lowest_epoch, state.best_epoch, state.epoch = torch.tensor([10]), torch.tensor([15]), 16
    assert not bool(still_training(config, state))
    state.epoch = 15
    assert bool(still_training(config, state))


def test_standard_error_is_that_of_the_mean_over_own_examples():
    generator = torch.Generator().manual_seed(0)
    field = Phoenix(4)
    params = field.init(2, generator)
    start, targets = (torch.rand(9, 4, generator=generator) for _ in range(2))
    member = torch.rand(2, 9, generator=generator).numpy() > 0.4
    examples = Examples(start, torch.tensor([[0.0, 1.0]]).expand(9, 2).contiguous(), targets[None], member)
    config = TrainConfig()
    mean, error = evaluate_with_error(field, params, examples, config, size=4)
    rows = torch.arange(9).expand(2, -1)
    predicted = predict(field, params, *examples.batch(rows)[:2], config)
    squared = (predicted - examples.batch(rows)[2]).square().mean((0, 3))
    for model in range(2):
        mine = squared[model][torch.as_tensor(member[model])].detach()
        assert float(mean[model]) == pytest.approx(float(mine.mean()), rel=1e-5)
        assert float(error[model]) == pytest.approx(float(mine.std() / len(mine) ** 0.5), rel=1e-4)
    torch.testing.assert_close(evaluate(field, params, examples, config), mean)
