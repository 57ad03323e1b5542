"""rk4 and its derivative in compiled loops, for velocities that have theirs (see `rk4_path`); imported on first use."""

from typing import Any

import numpy as np

from scdash._compiled import loop
from scdash.fields import velocity, velocity_back

# of every stage: what it counts, and how far along it, as a share of the step, the next one starts
COUNTS = (1 / 6, 1 / 3, 1 / 3, 1 / 6)
REACHES = (0.5, 0.5, 1.0, 0.0)


@loop
def forward(first: int, last: int, durations: Any, steps: int, weights: Any, kept: Any, start: Any, path: Any) -> None:
    """Set path (intervals, models, batch, genes) of some models to the states at the ends of the intervals from `start`.

    `durations` is (intervals, models, batch). Without room for all evaluations the last one alone is kept.
    """
    intervals, _, batch = durations.shape
    room = kept[0].shape[1]
    x, k, total = np.empty_like(start[0]), np.empty_like(start[0]), np.empty_like(start[0])
    for model in range(first, last):
        place = 0
        for interval in range(intervals):
            state, step = path[interval, model], durations[interval, model] / np.float32(steps)
            state[:] = start[model] if interval == 0 else path[interval - 1, model]
            for _ in range(steps):
                x[:] = state
                total[:] = 0
                for stage in range(4):
                    velocity(weights, kept, model, min(place, room - 1), x, k)
                    place += 1
                    go_on(state, k, step, np.float32(COUNTS[stage]), np.float32(REACHES[stage]), total, x)
                for b in range(batch):
                    for gene in range(state.shape[1]):
                        state[b, gene] += step[b] * total[b, gene]


@loop
def go_on(state: Any, k: Any, step: Any, count: Any, reach: Any, total: Any, x: Any) -> None:
    """Add count * k to the total and set x to the state of the next stage."""
    for b in range(state.shape[0]):
        along = step[b] * reach
        for gene in range(state.shape[1]):
            total[b, gene] += count * k[b, gene]
            x[b, gene] = state[b, gene] + along * k[b, gene]


@loop
def backward(
    first: int,
    last: int,
    durations: Any,
    steps: int,
    weights: Any,
    kept: Any,
    spare: Any,
    of_path: Any,
    of_start: Any,
    of_x0: Any,
) -> None:
    """Take the gradients of the path of some models back, into of_start (unless not `of_x0`: then anything) and what is kept."""
    intervals = len(durations)
    of_k, through = np.empty_like(of_start[0]), np.empty_like(of_start[0])
    total = np.empty_like(of_start[0])
    for model in range(first, last):
        place, of_x = intervals * steps * 4, of_start[model]
        of_x[:] = 0
        for interval in range(intervals - 1, -1, -1):
            step = durations[interval, model] / np.float32(steps)
            of_x += of_path[interval, model]
            for _ in range(steps):
                through[:] = 0
                total[:] = of_x
                for stage in range(3, -1, -1):
                    place -= 1
                    come_back(of_x, through, step, np.float32(COUNTS[stage]), np.float32(REACHES[stage]), of_k)
                    wanted = of_x0 or place > 0
                    velocity_back(weights, kept, model, place, of_k, through, spare, wanted)
                    if wanted:
                        total += through
                of_x[:] = total


@loop
def come_back(of_x: Any, through: Any, step: Any, count: Any, reach: Any, of_k: Any) -> None:
    """Set of_k to the gradient of a stage: from the new state, and from where the next stage started."""
    for b in range(of_x.shape[0]):
        counted, along = step[b] * count, step[b] * reach
        for gene in range(of_x.shape[1]):
            of_k[b, gene] = counted * of_x[b, gene] + along * through[b, gene]
