"""The one loop of training: epochs of batches of an objective, and callbacks around every epoch.

It knows no model, no data and no sparsity method. Objectives are pairs of states (`state_pairs`), whole trajectories
(`whole_trajectories`), transport of the cells of a screen (`screens.transport`), and the stages of a sparse bottleneck
network (`paired.stage`).
"""

from collections.abc import Iterable, Sequence
from typing import Protocol, TypeVar

Batch = TypeVar("Batch")


class Objective(Protocol[Batch]):
    """What is minimised, with its data, its weights and its optimiser."""

    def batches(self, epoch: int) -> Iterable[Batch]:
        """Return the batches of an epoch; called after the callbacks before it."""

    def differentiate(self, batch: Batch) -> None:
        """Set the gradients of the weights, and note the loss."""

    def update(self) -> None:
        """Take a step of the optimiser, and what follows every step, such as masks."""


class Callback:
    """What happens around an epoch; does nothing by default."""

    def before(self, epoch: int) -> None:
        """Do something before an epoch, such as pruning."""

    def after(self, epoch: int) -> bool:
        """Do something after an epoch, such as evaluating the weights; True ends training once all callbacks were called."""
        return False


def run_epochs(objective: Objective[Batch], epochs: Iterable[int], callbacks: Sequence[Callback] = ()) -> None:
    """Train for some epochs, or until a callback ends it."""
    for epoch in epochs:
        for callback in callbacks:
            callback.before(epoch)
        for batch in objective.batches(epoch):
            objective.differentiate(batch)
            objective.update()
        ended = [callback.after(epoch) for callback in callbacks]
        if any(ended):
            return
