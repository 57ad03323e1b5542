"""Learning rates on plateaus, epoch by epoch."""

import pytest
import torch

from scdash.training import Plateau, TrainConfig, TrainState
from scdash.training.plateau import lower_rates

PLATEAU = Plateau(factor=0.5, patience=1, threshold=0.125, minimum=0.0625)


def rates(losses, config, rate=1.0):
    """Return the learning rates after every epoch, (epochs, models), and the state; `losses` (epochs, models)."""
    table = torch.tensor(losses)
    state = TrainState.start({"w": torch.zeros(table.shape[1], 2)}, {}, {}, rate)
    found = []
    for row in table:
        lower_rates(config, state, row)
        found.append(state.rate.tolist())
    return found, state


def test_each_model_has_its_own_plateau():
    losses = [[1.0, 1.0], [0.9, 0.75], [0.9, 0.5], [0.9, 0.25], [0.9, 0.25], [0.9, 0.25], [0.9, 0.25]]
    found, state = rates(losses, TrainConfig(plateau=PLATEAU))
    assert [row[0] for row in found] == [1, 1, 0.5, 0.5, 0.25, 0.25, 0.125]
    assert [row[1] for row in found] == [1, 1, 1, 1, 1, 0.5, 0.5]
    assert state.plateau_best.tolist() == [1.0, 0.25]
    assert state.plateau_bad.tolist() == [0, 1]


def test_a_gain_has_to_exceed_the_threshold():
    found, state = rates([[1.0], [0.875], [0.8125], [0.8125]], TrainConfig(plateau=PLATEAU))
    assert [row[0] for row in found] == [1, 1, 1, 1]  # exactly the threshold is no gain; 0.1875 below the best is one
    assert state.plateau_best.tolist() == [0.8125]
    assert state.plateau_bad.tolist() == [1]


def test_rates_do_not_fall_below_the_minimum():
    found, _ = rates([[1.0]] * 12, TrainConfig(plateau=PLATEAU))
    assert found[-1] == [0.0625] and found[-3] == [0.0625]
    found, _ = rates([[1.0]] * 4, TrainConfig(plateau=PLATEAU), rate=0.03125)
    assert found == [[0.03125]] * 4  # a rate that starts below the minimum stays, as in torch


@pytest.mark.parametrize("plateau", [None, PLATEAU])
def test_decay_acts_after_every_epoch_beside_plateaus(plateau):
    found, _ = rates([[1.0]] * 3, TrainConfig(plateau=plateau, decay=0.5))
    assert [row[0] for row in found] == ([0.5, 0.25, 0.125] if plateau is None else [0.5, 0.25, 0.0625])
    found, state = rates([[1.0]] * 3, TrainConfig(plateau=plateau, decay=2.0))
    assert [row[0] for row in found] == ([2, 4, 8] if plateau is None else [2, 4, 4])
    if plateau is None:
        assert state.plateau_bad.tolist() == [0] and state.plateau_best.tolist() == [torch.inf]


def test_without_plateaus_and_decay_rates_stay():
    found, _ = rates([[1.0]] * 5, TrainConfig(plateau=None))
    assert found == [[1.0]] * 5


def test_defaults_are_those_of_the_released_schedule():
    assert Plateau() == Plateau(factor=0.9, patience=3, threshold=1e-6, minimum=4e-5)
