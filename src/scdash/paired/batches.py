"""Minibatches of stacked models: every model shuffles its own cells, all take the same number of steps."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


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
