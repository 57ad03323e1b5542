"""Roll-outs of the gene-wise PHOENIX from states of trajectories, their errors, and the solver's steps."""

import copy
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._data import VelocityRows
from scdash.training.edge_sums import room_for
from scdash.training.rollout_kernel import forward

Floats = NDArray[np.float32]


class Writable:
    """Values whose arrays can be written to, also where another process has sent them.

    What ray sends, and what joblib maps to files, is read-only: torch warns of such arrays, and loops would be compiled
    once more for them.
    """

    def __setstate__(self, state: Mapping[str, Any]) -> None:
        for name, value in state.items():
            object.__setattr__(self, name, _writable(value))


def _writable(value: Any) -> Any:
    """Return an array, or a CSR matrix, that can be written to: a copy where it cannot; anything else as it is."""
    if isinstance(value, np.ndarray):
        return value if value.flags.writeable else np.array(value)
    if sp.issparse(value):
        return type(value)(
            tuple(_writable(getattr(value, name)) for name in ("data", "indices", "indptr")), value.shape
        )
    return value


@dataclass(frozen=True)
class GeneWise(Writable):
    """dx/dt = rates * (bias + weights f(x) - x) on the edges that are left; see `rollout_kernel` for the features f."""

    weights: sp.csr_array  # (genes, genes + pairs), target by feature
    bias: Floats  # (genes,)
    rates: Floats  # (genes,), at least 0
    pairs: NDArray[np.int64]  # (pairs, 2), genes of each product

    @classmethod
    def of(cls, weights: Any, bias: Any, rates: Any, pairs: Any = ()) -> Self:
        """Return the field with arrays of the types that compiled loops need."""
        matrix = sp.csr_array(weights).astype(np.float32)
        matrix.sum_duplicates()
        matrix.sort_indices()
        # whatever the matrix had: loops are compiled for each type of place
        matrix.indices, matrix.indptr = matrix.indices.astype(np.int32), matrix.indptr.astype(np.int32)
        return cls(
            matrix,
            np.ascontiguousarray(bias, dtype=np.float32),
            np.ascontiguousarray(rates, dtype=np.float32),
            np.asarray(pairs, dtype=np.int64).reshape(-1, 2),
        )

    @property
    def layout(self) -> tuple[Any, ...]:
        """Return what every compiled loop takes: edges, weights, bias, rates, genes of the products."""
        w = self.weights
        first, second = (np.ascontiguousarray(column) for column in self.pairs.T)
        return w.indptr, w.indices, w.data, self.bias, self.rates, first, second

    def of_edges(self, edges: NDArray[np.intp]) -> Self:
        """Return the field with some of its edges (places in `weights.data`, in order) alone."""
        w, some = self.weights, copy.copy(self.weights)
        some.data, some.indices = w.data[edges], w.indices[edges]
        some.indptr = np.searchsorted(edges, w.indptr).astype(w.indptr.dtype)
        return replace(self, weights=some)

    def with_arrays(self, weights: Floats, bias: Floats, rates: Floats) -> Self:
        """Return the field with other values on the same edges."""
        matrix = copy.copy(self.weights)  # its constructor would check all places again, in every step of training
        matrix.data = weights
        return replace(self, weights=matrix, bias=bias, rates=rates)


@dataclass(frozen=True)
class Trajectories(Writable):
    """Trajectories as padded arrays: a padded state repeats the last one, after an interval of 0."""

    states: Floats  # (trajectories, times, genes)
    intervals: Floats  # (trajectories, times - 1)
    lengths: NDArray[np.int64]  # (trajectories,), at least 2
    velocity: VelocityRows | None = None  # measured beside the trajectories, in their units
    lineage: NDArray[np.intp] | None = (
        None  # (trajectories,), code of each; those of one differ by batch or cells alone
    )

    @classmethod
    def of(
        cls, states: list[NDArray[Any]], times: list[NDArray[np.float64]], velocity: VelocityRows | None = None
    ) -> Self:
        """Return trajectories from the states (states, genes) and the times (states,) of each."""
        lengths = np.array([len(part) for part in times], dtype=np.int64)
        if not len(lengths) or lengths.min() < 2:
            raise ValueError("A trajectory needs at least two states to be followed from one to the next.")
        longest = int(lengths.max())
        padded = [np.pad(part, ((0, longest - len(part)), (0, 0)), mode="edge") for part in states]
        clocks = [np.pad(part, (0, longest - len(part)), mode="edge") for part in times]
        intervals = np.diff(np.stack(clocks), axis=1).astype(np.float32)
        return cls(np.stack(padded).astype(np.float32), intervals, lengths, velocity)

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def by_time(self) -> Floats:
        """The states as compiled loops compare them, (times, genes, trajectories)."""
        return np.ascontiguousarray(self.states.transpose(1, 2, 0))

    @property
    def times(self) -> NDArray[np.float64]:
        """The time of every state since the first, (trajectories, times)."""
        return np.cumsum(np.pad(self.intervals, ((0, 0), (1, 0))), axis=1, dtype=np.float64)

    def select(self, trajectories: Any) -> Self:
        """Return some of the trajectories."""
        return type(self)(self.states[trajectories], self.intervals[trajectories], self.lengths[trajectories])


def solver_steps(intervals: Floats, substeps: int, longest_step: float) -> tuple[Floats, NDArray[np.int64]]:
    """Return the solver's steps (steps, trajectories), and the number of steps before every observed state, (times,).

    Intervals (trajectories, times - 1) are divided so that no step is longer than `longest_step`, and these into
    `substeps` steps each.
    """
    needed = np.ceil(intervals.max(axis=0, initial=0) / longest_step - 1e-6)
    counts = np.maximum(needed, 1).astype(np.int64) * substeps
    steps = np.repeat(intervals / counts, counts, axis=1).T
    return np.ascontiguousarray(steps, dtype=np.float32), np.concatenate([[0], np.cumsum(counts)])


def roll_out(
    model: GeneWise, states: Floats, intervals: Floats, substeps: int = 1, longest_step: float = math.inf
) -> Floats:
    """Return the states (trajectories, times, genes) that follow from starts (trajectories, genes).

    `intervals` are (trajectories, times - 1); see `solver_steps` for how they are divided.
    """
    steps, observed = solver_steps(intervals, substeps, longest_step)
    number, genes = states.shape
    x = np.empty((len(steps) + 1, genes, room_for(number)), np.float32)
    x[0, :, :number] = states.T
    p, q = np.empty((2, 1, genes, room_for(number)), np.float32)
    forward(np.full(len(steps), number), steps, *model.layout, x, p, q)
    return np.asarray(x[observed, :, :number].transpose(2, 0, 1))


def step_error(model: GeneWise, trajectories: Trajectories, longest_step: float = math.inf) -> float:
    """Return the root mean square error of the solver over an interval, relative to the change over it."""
    seen = np.arange(1, trajectories.states.shape[1]) < trajectories.lengths[:, None]
    start, interval = trajectories.states[:, :-1][seen], trajectories.intervals[seen][:, None]
    coarse, fine = (roll_out(model, start, interval, substeps, longest_step)[:, 1] for substeps in (1, 16))
    change = np.sqrt(np.mean((fine - start) ** 2, dtype=np.float64))
    return float(np.sqrt(np.mean((coarse - fine) ** 2, dtype=np.float64)) / max(change, 1e-12))


def longest_accurate_step(
    model: GeneWise, trajectories: Trajectories, tolerance: float = 0.01, halvings: int = 6
) -> float:
    """Return the longest step, an interval halved some times, with which the step error is within the tolerance."""
    step = float(trajectories.intervals.max())
    for _ in range(halvings):
        if step_error(model, trajectories, step) <= tolerance:
            break
        step /= 2
    return step


def errors_from_start(
    model: GeneWise,
    trajectories: Trajectories,
    start: Floats | None = None,
    weights: NDArray[np.floating[Any]] | None = None,
    substeps: int = 4,
    longest_step: float = math.inf,
) -> NDArray[np.float64]:
    """Return the mean squared error of every trajectory predicted whole, (trajectories,).

    `start` (trajectories, genes) is where predictions begin; None: the first states. `weights` (genes,) weigh the squares
    of the genes; None: all alike.
    """
    predicted = roll_out(
        model, trajectories.states[:, 0] if start is None else start, trajectories.intervals, substeps, longest_step
    )
    return mean_squared_errors(predicted, trajectories, weights)


def mean_squared_errors(
    predicted: NDArray[np.floating[Any]], trajectories: Trajectories, weights: NDArray[np.floating[Any]] | None = None
) -> NDArray[np.float64]:
    """Return the mean squared error of predictions of every trajectory, without its first state, (trajectories,).

    `predicted` has the shape of the states, or one that is broadcast to it; `weights` (genes,) weigh the squares.
    """
    seen = np.arange(trajectories.states.shape[1]) < trajectories.lengths[:, None]
    squares = np.average((predicted - trajectories.states) ** 2, axis=-1, weights=weights)
    return np.asarray((squares * seen)[:, 1:].sum(1) / (trajectories.lengths - 1))
