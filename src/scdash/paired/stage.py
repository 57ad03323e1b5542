"""One stage of training: Adam on a chain of stacked layers, with whatever inputs and loss it is given, minibatch by minibatch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._core.errors import NonFiniteError
from scdash.paired.layers import Dense, add_group_lasso, forward
from scdash.paired.schedule import BottleneckTraining
from scdash.training.loop import Callback, run_epochs


def epoch_batches(
    cells: Sequence[NDArray[np.intp]], batch_size: int, streams: Sequence[np.random.Generator]
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Yield (index, weight) of each step of one epoch.

    index (models, cells) holds every cell of a model once; where models have different numbers of cells, the shorter
    batches are padded and weight (models, cells, 1) is 0 there, otherwise weight is None. A model that would need
    fewer steps than the others spreads its cells evenly over the same number of steps.
    """
    steps = max(-(-len(own) // batch_size) for own in cells)
    shuffled = [stream.permutation(own) for own, stream in zip(cells, streams, strict=True)]
    if len({len(own) for own in cells}) == 1:
        for index in torch.split(torch.from_numpy(np.stack(shuffled)), batch_size, dim=1):
            yield index, None
        return
    stops = [_stops(len(own), batch_size, steps) for own in cells]
    for k in range(steps):
        parts = [own[stop[k] : stop[k + 1]] for own, stop in zip(shuffled, stops, strict=True)]
        yield pad(parts)


def _stops(cells: int, batch_size: int, steps: int) -> NDArray[np.intp]:
    if -(-cells // batch_size) == steps:
        return np.minimum(np.arange(steps + 1) * batch_size, cells)
    return np.linspace(0, cells, steps + 1).round().astype(np.intp)


def pad(cells: Sequence[NDArray[np.intp]]) -> tuple[Tensor, Tensor | None]:
    """Return (index, weight) of lists of cells; weight (models, cells, 1) is None where all are equally long."""
    lengths = {len(own) for own in cells}
    if len(lengths) == 1:
        return torch.from_numpy(np.stack(cells)), None
    index = np.zeros((len(cells), max(lengths)), dtype=np.intp)
    weight = np.zeros((*index.shape, 1), dtype=np.float32)
    for r, own in enumerate(cells):
        index[r, : len(own)] = own
        weight[r, : len(own)] = 1
    return torch.from_numpy(index), torch.from_numpy(weight)


ROWS = 2048  # cells of one forward pass outside training

# (output, index, weight) -> loss of each model
Loss: TypeAlias = Callable[[Tensor, Tensor, "Tensor | None"], Tensor]
Batch: TypeAlias = tuple[Tensor, Tensor | None]  # cells of each model (models, cells), and what they count


class RowSource(Protocol):
    """Anything that returns rows of each model: index (models, cells) -> (models, cells, columns)."""

    def rows(self, index: Tensor) -> Tensor:
        """Return the rows."""


@dataclass
class Stage:
    """What is trained on what.

    `epochs`, `rate`: passes over the cells, learning rate of Adam.
    """

    name: str  # name in the history and in messages
    layers: Sequence[Dense]  # the layers trained, from input to output
    inputs: RowSource  # rows fed to the first of them
    loss: Loss  # loss of each model
    cells: Sequence[NDArray[np.intp]]  # cells of each model
    epochs: int
    rate: float
    lasso: float = 0.0  # weight of the group lasso on the first layer


def run_stage(
    stage: Stage,
    schedule: BottleneckTraining,
    streams: Sequence[np.random.Generator],
    device: torch.device,
    on_epoch: Callable[[int, NDArray[np.float64]], None],
) -> None:
    """Train the layers in place; `on_epoch(epoch, losses)` gets each model's mean unpenalised loss of the epoch.

    The l2 term l2 * sum w^2 enters as Adam's weight decay 2 l2, which is its gradient.
    """
    run = StageObjective(stage, schedule, streams, device)
    run_epochs(run, range(1, stage.epochs + 1), [MeanLoss(run, on_epoch)])


class StageObjective:
    """The loss of a stage and its group lasso, summed over the models, which do not touch each other."""

    def __init__(
        self, stage: Stage, schedule: BottleneckTraining, streams: Sequence[np.random.Generator], device: torch.device
    ) -> None:
        self.stage, self.schedule, self.streams, self.device = stage, schedule, streams, device
        self.layers = [layer.differentiable() for layer in stage.layers]
        self.optimizer = torch.optim.Adam(
            [part for layer in self.layers for part in layer.parameters],
            lr=stage.rate, eps=schedule.adam_epsilon, weight_decay=2 * schedule.l2, fused=True,
        )  # fmt: skip
        self.total, self.cells = (torch.zeros(len(stage.cells), device=device) for _ in range(2))

    def batches(self, epoch: int) -> Iterator[Batch]:
        """Yield the minibatches of an epoch."""
        self.total.zero_()
        self.cells.zero_()
        for index, weight in epoch_batches(self.stage.cells, self.schedule.batch_size, self.streams):
            yield index.to(self.device), None if weight is None else weight.to(self.device)

    def differentiate(self, batch: Batch) -> None:
        """Set the gradients; add the unpenalised loss of each model to its total."""
        (index, weight), stage = batch, self.stage
        self.optimizer.zero_grad()
        with torch.enable_grad():
            loss = stage.loss(forward(self.layers, stage.inputs.rows(index)), index, weight)
            loss.sum().backward()  # type: ignore[no-untyped-call]
        if stage.lasso:
            add_group_lasso(self.layers[0].weight, stage.lasso)
        size = index.shape[1] if weight is None else weight.sum((1, 2))
        self.total += size * loss.detach()
        self.cells += size

    def update(self) -> None:
        """Take a step of Adam."""
        self.optimizer.step()


@dataclass
class MeanLoss(Callback):
    """Report the mean loss of every epoch, and stop where it is not a number."""

    run: StageObjective
    on_epoch: Callable[[int, NDArray[np.float64]], None]

    def after(self, epoch: int) -> bool:
        """Call `on_epoch`."""
        stage = self.run.stage
        losses = (self.run.total / self.run.cells).cpu().numpy().astype(np.float64)
        if not np.isfinite(losses).all():
            raise NonFiniteError(
                f"The loss became {losses[~np.isfinite(losses)][0]} in stage {stage.name!r}, epoch {epoch}. Lower "
                f"{stage.name}_rate (now {stage.rate:g}), or look for extreme values in the data."
            )
        self.on_epoch(epoch, losses)
        return False


def evaluate(layers: Sequence[Dense], inputs: RowSource, index: Tensor) -> Tensor:
    """Return the last layer's output for index (models, cells), in blocks of cells."""
    blocks = torch.split(index, ROWS, dim=1)
    return torch.cat([forward(layers, inputs.rows(block)) for block in blocks], dim=1)
