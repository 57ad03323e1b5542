"""The one loop: what is called when, how it ends, and that every kind of training runs on it."""

import inspect
from collections.abc import Iterator

import pytest

from scdash.paired import stage
from scdash.screens.transport import fit as transport
from scdash.training import state_pairs, whole_trajectories
from scdash.training.loop import Callback, run_epochs


class Noting:
    """An objective of two batches an epoch that notes what is called."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def batches(self, epoch: int) -> Iterator[int]:
        self.calls.append(f"epoch {epoch}")
        yield from (0, 1)

    def differentiate(self, batch: int) -> None:
        self.calls.append(f"differentiate {batch}")

    def update(self) -> None:
        self.calls.append("update")


class Around(Callback):
    """Notes, and ends training after an epoch."""

    def __init__(self, run: Noting, name: str, last: int) -> None:
        self.run, self.name, self.last = run, name, last

    def before(self, epoch: int) -> None:
        self.run.calls.append(f"before {self.name}")

    def after(self, epoch: int) -> bool:
        self.run.calls.append(f"after {self.name}")
        return epoch == self.last


BATCHES = ["differentiate 0", "update", "differentiate 1", "update"]


def test_callbacks_surround_every_epoch_in_their_order_and_one_ends_it_after_all_were_called() -> None:
    run = Noting()
    run_epochs(run, range(3, 9), [Callback(), Around(run, "a", last=4), Around(run, "b", last=9)])
    epoch = ["before a", "before b", "epoch {}", *BATCHES, "after a", "after b"]
    assert run.calls == [call.format(number) for number in (3, 4) for call in epoch]


def test_without_callbacks_all_epochs_are_run() -> None:
    run = Noting()
    run_epochs(run, range(2))
    assert run.calls == ["epoch 0", *BATCHES, "epoch 1", *BATCHES]


@pytest.mark.parametrize("module", [state_pairs, whole_trajectories, transport, stage])
def test_every_training_runs_on_it(module) -> None:
    text = inspect.getsource(module)
    assert text.count("run_epochs(") >= 1
    assert text.count("optimiser.step()") + text.count("optimizer.step()") + text.count("adam.step(") == 1
