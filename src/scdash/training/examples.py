"""Training examples as tensors: start states, times and the states to reach."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from scdash._data import TimeSeries


@dataclass(frozen=True)
class Examples:
    """Windows of `steps` states to be reached one after another from a start state.

    `member` says which windows each model sees (folds, bootstraps): (models, examples) of 0/1, None for all. `most` is
    how many of them a model of the whole stack sees at most, where these are the examples of a part of it.
    """

    start: Tensor  # (examples, genes)
    times: Tensor  # (examples, steps + 1)
    targets: Tensor  # (steps, examples, genes)
    member: NDArray[np.bool_] | None = None
    most: int | None = None

    def __len__(self) -> int:
        return len(self.start)

    @property
    def steps(self) -> int:
        """Number of states to reach."""
        return len(self.targets)

    def to(self, device: torch.device, dtype: torch.dtype) -> "Examples":
        """Return the examples on a device, in a floating type."""
        start, times, targets = (part.to(device, dtype) for part in (self.start, self.times, self.targets))
        return replace(self, start=start, times=times, targets=targets)

    @property
    def longest(self) -> int:
        """Number of examples that the model with most of them sees."""
        if self.most is not None:
            return self.most
        return len(self) if self.member is None else int(self.member.sum(1).max())

    def of_models(self, models: slice | Sequence[int] | Tensor) -> "Examples":
        """Return the examples as some models of a stack see them.

        The longest epoch stays that of the whole stack: the number of steps an epoch takes, and with it what a model
        learns, must not depend on which models it is trained beside.
        """
        if self.member is None:
            return self
        part = models.cpu().numpy() if isinstance(models, Tensor) else models
        return replace(self, member=self.member[part], most=self.longest)

    def batch(self, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return start (models, batch, genes), times (models, batch, steps + 1), targets (steps, models, batch, genes).

        `rows` is (models, batch).
        """
        return self.start[rows], self.times[rows], self.targets[:, rows]


def examples_from(series: TimeSeries, rows: NDArray[np.int64], *, member: NDArray[np.bool_] | None = None) -> Examples:
    """Gather the examples of `rows` (examples, steps + 1); `member` says which model sees which."""
    states = torch.as_tensor(series.states[rows])
    return Examples(
        states[:, 0], torch.as_tensor(series.times[rows]), states[:, 1:].transpose(0, 1).contiguous(), member
    )


def epoch_batches(
    examples: Examples, n_models: int, size: int, seed: int, epoch: int, *, streams: Sequence[int] | None = None
) -> list[tuple[Tensor, Tensor]]:
    """Return the shuffled batches of one epoch as (rows, weight), both (models, batch).

    Every model has its own stream that depends on (seed, its number in `streams`, epoch) alone, so that nothing random is
    left to store in a checkpoint, and splitting a stack changes no result; by default 0, 1, ... Models that see fewer
    examples are padded with weight 0.
    """
    if len(examples) == 0:
        return []
    members = np.ones((n_models, len(examples)), bool) if examples.member is None else examples.member
    longest, numbers = examples.longest, range(n_models) if streams is None else streams
    rows, weight = np.zeros((n_models, longest), np.int64), np.zeros((n_models, longest), np.float32)
    for model, number in enumerate(numbers):
        mine = np.random.default_rng([seed, number, epoch]).permutation(np.flatnonzero(members[model]))
        rows[model, : len(mine)], weight[model, : len(mine)] = mine, 1
    cuts = range(0, longest, size)
    return [(torch.as_tensor(rows[:, c : c + size]), torch.as_tensor(weight[:, c : c + size])) for c in cuts]
