r"""Training of the gene-wise PHOENIX on whole trajectories: from many starts to the end.

The loss is the mean squared error of all later states of roll-outs from random states of random trajectories. A pull
towards the start of the training,

.. math:: \frac{\mu}{n} \bigl(\lVert W - W_0\rVert^2 + \lVert b - b_0\rVert^2 + 0.1 \lVert \log r - \log r_0\rVert^2\bigr),

keeps what the trajectories do not determine where the sparse regression has put it.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash._errors import NonFiniteError
from scdash.training.rollout_kernel import backward, compare, forward

Floats = NDArray[np.float32]
SLOWEST = 1e-6  # rates below this do not move: their gene is constant


@dataclass(frozen=True)
class GeneWise:
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

    def with_arrays(self, weights: Floats, bias: Floats, rates: Floats) -> Self:
        """Return the field with other values on the same edges."""
        matrix = sp.csr_array((weights, self.weights.indices, self.weights.indptr), shape=self.weights.shape)
        return replace(self, weights=matrix, bias=bias, rates=rates)

    def without_zeros(self) -> Self:
        """Return the field on the edges whose weight is not 0."""
        matrix = self.weights.copy()
        matrix.eliminate_zeros()
        return replace(self, weights=matrix)


@dataclass(frozen=True)
class Courses:
    """Trajectories as padded arrays: a padded state repeats the last one, after an interval of 0."""

    states: Floats  # (trajectories, times, genes)
    intervals: Floats  # (trajectories, times - 1)
    lengths: NDArray[np.int64]  # (trajectories,), at least 2

    @classmethod
    def of(cls, states: list[NDArray[Any]], times: list[NDArray[np.float64]]) -> Self:
        """Return the courses of some trajectories, (states, genes) and (states,) each."""
        lengths = np.array([len(part) for part in times], dtype=np.int64)
        if not len(lengths) or lengths.min() < 2:
            raise ValueError("A trajectory needs at least two states to be followed from one to the next.")
        longest = int(lengths.max())
        padded = [np.pad(part, ((0, longest - len(part)), (0, 0)), mode="edge") for part in states]
        clocks = [np.pad(part, (0, longest - len(part)), mode="edge") for part in times]
        return cls(np.stack(padded).astype(np.float32), np.diff(np.stack(clocks), axis=1).astype(np.float32), lengths)

    def __len__(self) -> int:
        return len(self.lengths)

    @cached_property
    def by_time(self) -> Floats:
        """The states as compiled loops compare them, (times, genes, trajectories)."""
        return np.ascontiguousarray(self.states.transpose(1, 2, 0))

    def select(self, trajectories: Any) -> Self:
        """Return some of the trajectories."""
        return type(self)(self.states[trajectories], self.intervals[trajectories], self.lengths[trajectories])


@dataclass(frozen=True)
class WholeTrajectories:
    """Settings of training on whole trajectories."""

    epochs: int = 100
    """Steps of the optimiser; each sees `batch_size` roll-outs."""
    batch_size: int = 64
    learning_rate: float = 5e-3
    """Of Adam, lowered to 0 along a half cosine."""
    pull: float = 0.1
    """mu, strength of the pull towards the start."""
    rate_pull: float = 0.1
    """Weight of the rates' logarithms in the pull."""
    clip: float = 1.0
    """Largest norm of the gradient."""
    substeps: int = 1
    """Steps of the solver between two observed states."""


def roll_out(model: GeneWise, states: Floats, intervals: Floats, substeps: int = 1) -> Floats:
    """Return the states (trajectories, times, genes) that follow from starts (trajectories, genes).

    `intervals` (trajectories, times - 1) are split into `substeps` steps of the solver each.
    """
    steps = np.ascontiguousarray(np.repeat(intervals / substeps, substeps, axis=1).T, dtype=np.float32)
    x = np.zeros((len(steps) + 1, *states.T.shape), np.float32)
    x[0] = states.T
    scratch = np.empty((2, *x[1:].shape), np.float32)
    forward(np.full(len(steps), len(states)), steps, *model.layout, x, scratch[0], scratch[1])
    return np.asarray(x[::substeps].transpose(2, 0, 1))


def errors_from_start(
    model: GeneWise,
    courses: Courses,
    start: Floats | None = None,
    weights: NDArray[np.floating[Any]] | None = None,
    substeps: int = 4,
) -> NDArray[np.float64]:
    """Return the mean squared error of every trajectory predicted whole, (trajectories,).

    `start` (trajectories, genes) is where predictions begin; None: the first states. `weights` (genes,) weigh the squares
    of the genes; None: all alike.
    """
    predicted = roll_out(model, courses.states[:, 0] if start is None else start, courses.intervals, substeps)
    seen = np.arange(courses.states.shape[1]) < courses.lengths[:, None]
    squares = np.average((predicted - courses.states) ** 2, axis=-1, weights=weights)
    return np.asarray((squares * seen)[:, 1:].sum(1) / (courses.lengths - 1))


@dataclass(frozen=True)
class Starts:
    """Roll-outs of one batch, sorted by the step at which they begin."""

    trajectory: NDArray[np.int64]  # (roll-outs,)
    first: NDArray[np.int64]  # (roll-outs,), state they begin at

    @classmethod
    def draw(cls, courses: Courses, number: int, rng: np.random.Generator) -> Self:
        """Draw trajectories, and in each a state before its last."""
        trajectory = rng.integers(0, len(courses), number)
        first = (rng.random(number) * (courses.lengths[trajectory] - 1)).astype(np.int64)
        order = np.argsort(first, kind="stable")
        return cls(trajectory[order], first[order])


def squared_error(
    model: GeneWise, courses: Courses, starts: Starts, gene_weights: Floats, substeps: int = 1
) -> tuple[float, Floats, Floats, Floats]:
    """Return the weighted mean squared error of all states after the starts, and its derivatives: weights, bias, rates.

    `gene_weights` (genes,) have the mean 1.
    """
    number, genes = len(starts.first), courses.states.shape[2]
    length = courses.lengths[starts.trajectory]
    steps = np.ascontiguousarray(np.repeat(courses.intervals[starts.trajectory] / substeps, substeps, axis=1).T)
    shape = (len(steps) + 1, genes, number)
    x = np.empty(shape, np.float32)
    x[starts.first * substeps, :, np.arange(number)] = courses.states[starts.trajectory, starts.first]
    active = np.searchsorted(starts.first * substeps, np.arange(len(steps)), side="right")
    scratch = np.empty((2, len(steps), genes, number), np.float32)
    arguments = (active, steps, *model.layout, x, scratch[0], scratch[1])
    forward(*arguments)
    count = int((length - 1 - starts.first).sum()) * genes
    of_x = np.empty(shape, np.float32) if substeps == 1 else np.zeros(shape, np.float32)
    weights = gene_weights * np.float32(2 / count)
    loss = compare(x, courses.by_time, starts.trajectory, starts.first, length, weights, substeps, of_x) / 2
    of_weights, of_bias, of_rates = (np.zeros_like(part) for part in (model.weights.data, model.bias, model.rates))
    backward(*arguments, of_x, of_weights, of_bias, of_rates)
    return loss, of_weights, of_bias, of_rates


def mean_features(model: GeneWise, courses: Courses) -> Floats:
    """Return the features of the field, averaged over all states of some trajectories, (genes + pairs,)."""
    seen = np.arange(courses.states.shape[1]) < courses.lengths[:, None]
    centred = courses.states[seen] - np.float32(0.5)
    phi = centred / (1 + np.abs(centred))
    products = phi[:, model.pairs[:, 0]] * phi[:, model.pairs[:, 1]]
    return np.asarray(np.concatenate([phi.mean(0), products.mean(0)]), dtype=np.float32)


class Trainer:
    """One model in training; `model` is its present state.

    The pull holds on to the model it was made with, and after `prune` to the pruned one. `gene_weights` (genes,) weigh the
    squared errors of the genes; None: all alike.
    """

    def __init__(
        self,
        model: GeneWise,
        courses: Courses,
        settings: WholeTrajectories,
        seed: int = 0,
        gene_weights: NDArray[np.floating[Any]] | None = None,
    ) -> None:
        given = np.ones(len(model.bias)) if gene_weights is None else gene_weights
        self.gene_weights = (given / given.mean()).astype(np.float32)
        self.model, self.courses, self.settings = model, courses, settings
        self.rng = np.random.default_rng(seed)
        self.moving = torch.from_numpy(model.rates > SLOWEST)
        rates = torch.from_numpy(np.maximum(model.rates, SLOWEST))
        values = (torch.from_numpy(model.weights.data), torch.from_numpy(model.bias), rates.log())
        self.values = tuple(value.clone().requires_grad_() for value in values)
        self.anchor = tuple(value.clone() for value in values)
        self.kept = torch.ones_like(values[0])
        self.losses: list[float] = []  # of every epoch
        self.sizes: list[int] = []  # edges left in every epoch

    def train(self, epochs: int) -> None:
        """Train for some epochs with a schedule of their own."""
        for _ in self.epochs(epochs):
            pass

    def epochs(self, epochs: int) -> Iterator[int]:
        """Train for some epochs with a schedule of their own, and yield the number of every epoch that is done."""
        optimiser = torch.optim.Adam(self.values, lr=self.settings.learning_rate)
        for epoch in range(epochs):
            for group in optimiser.param_groups:
                group["lr"] = self.settings.learning_rate * (1 + math.cos(math.pi * epoch / epochs)) / 2
            self._set_gradients()
            torch.nn.utils.clip_grad_norm_(self.values, self.settings.clip)
            optimiser.step()
            self._update()
            yield epoch + 1

    def prune(self, kept: NDArray[np.bool_]) -> None:
        """Set weights to 0 for good where `kept` (edges,) is false.

        What the removed edges do in the mean of the states goes to the bias: many faint edges together are mostly constant.
        The pull holds on to the pruned model from then on.
        """
        gone = np.where(kept, 0, self.model.weights.data)
        removed = sp.csr_array((gone, self.model.weights.indices, self.model.weights.indptr), self.model.weights.shape)
        self.kept *= torch.from_numpy(kept)
        with torch.no_grad():
            self.values[1].add_(torch.from_numpy(removed @ mean_features(self.model, self.courses)))
        self._update()
        self.anchor = tuple(value.detach().clone() for value in self.values)

    def _set_gradients(self) -> None:
        settings = self.settings
        starts = Starts.draw(self.courses, settings.batch_size, self.rng)
        loss, *found = squared_error(self.model, self.courses, starts, self.gene_weights, settings.substeps)
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"Training on whole trajectories left the finite numbers after {len(self.losses)} epochs. Lower the "
                f"learning rate (now {settings.learning_rate:g}), or look at the values of the genes."
            )
        self.losses.append(loss)
        self.sizes.append(int(np.count_nonzero(self.model.weights.data)))
        found[2] = found[2] * self.model.rates  # the derivative with respect to log r
        pull = [2 * settings.pull / len(self.model.bias) * factor for factor in (1.0, 1.0, settings.rate_pull)]
        for value, anchor, gradient, strength in zip(self.values, self.anchor, found, pull, strict=True):
            value.grad = torch.from_numpy(gradient) + strength * (value.detach() - anchor)
        self.values[0].grad *= self.kept  # type: ignore[operator]
        self.values[2].grad *= self.moving  # type: ignore[operator]

    @torch.no_grad()
    def _update(self) -> None:
        weights, bias, rates = self.values
        weights *= self.kept
        speed = (rates.exp() * self.moving).numpy()
        self.model = self.model.with_arrays(weights.detach().numpy().copy(), bias.detach().numpy().copy(), speed)
