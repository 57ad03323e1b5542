r"""Training of the gene-wise PHOENIX on whole trajectories: from many starts to the end.

The loss is the mean squared error of all later states of roll-outs from random states of random trajectories. A pull
towards the start of the training,

.. math:: \frac{\mu}{n} \bigl(\lVert W - W_0\rVert^2 + \lVert b - b_0\rVert^2 + 0.1 \lVert \log r - \log r_0\rVert^2\bigr),

keeps what the trajectories do not determine where the sparse regression has put it. Velocities that were measured beside the
trajectories have a part of the loss of their own, `velocity_error`: trained on trajectories alone, a model forgets part of
what the regression has learned from them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray

from scdash._core.errors import NonFiniteError
from scdash.training.edge_sums import room_for
from scdash.training.loop import Callback, run_epochs
from scdash.training.rollout_kernel import backward, compare, forward
from scdash.training.rollouts import Floats, GeneWise, Trajectories, solver_steps
from scdash.training.velocity_error import SHARE, MeasuredVelocity, features_of, velocity_error

SLOWEST = 1e-6  # rates below this do not move: their gene is constant


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
    longest_step: float = math.inf
    """Longest step of the solver; intervals between observed states are divided into equal steps that are no longer."""
    from_start: float = 0.0
    """Fraction of the roll-outs that begin at the first state of their trajectory; the others begin anywhere."""
    mixed_starts: bool = False
    """Begin between the state of a trajectory and that of another of its lineage at the same time: see `mixed_states`."""
    velocity_weight: float = 0.0
    """Of measured velocities: of all beside all transitions in the regression, a `SHARE` of it in training; 0 ignores them."""


@dataclass(frozen=True)
class Starts:
    """Roll-outs of one batch, sorted by the step at which they begin."""

    trajectory: NDArray[np.int64]  # (roll-outs,)
    first: NDArray[np.int64]  # (roll-outs,), state they begin at
    states: Floats  # (roll-outs, genes), where they begin

    @classmethod
    def draw(
        cls,
        trajectories: Trajectories,
        number: int,
        rng: np.random.Generator,
        from_start: float = 0.0,
        *,
        mixed: bool = False,
    ) -> Self:
        """Draw trajectories, and in each a state before its last; a fraction begins at the first state."""
        trajectory = rng.integers(0, len(trajectories), number)
        first = (rng.random(number) * (trajectories.lengths[trajectory] - 1)).astype(np.int64)
        first[: round(from_start * number)] = 0
        order = np.argsort(first, kind="stable")
        trajectory, first = trajectory[order], first[order]
        if mixed and trajectories.lineage is not None:
            return cls(trajectory, first, mixed_states(trajectories, trajectories.lineage, trajectory, first, rng))
        return cls(trajectory, first, trajectories.states[trajectory, first])


def mixed_states(
    trajectories: Trajectories,
    lineage: NDArray[np.intp],
    trajectory: NDArray[np.int64],
    first: NDArray[np.int64],
    rng: np.random.Generator,
) -> Floats:
    r"""Return states between those of some trajectories and of others of their lineages, (roll-outs, genes).

    :math:`(1 - a)\, x_k(t) + a\, x_l(t)`, with a uniform in [0, 1] and l any trajectory of the lineage of k that has a
    state at the same time; what follows is still to be the trajectory k. A model that is to predict another batch must
    not enlarge by how much its first state differs from those that were seen.
    """
    order = np.argsort(lineage, kind="stable")
    codes, begins, counts = np.unique(lineage[order], return_index=True, return_counts=True)
    own = np.searchsorted(codes, lineage[trajectory])
    other = order[begins[own] + (rng.random(len(first)) * counts[own]).astype(np.int64)]
    times = trajectories.times
    together = np.isclose(times[other, first], times[trajectory, first]) & (first < trajectories.lengths[other])
    weight = (rng.random(len(first)) * together).astype(np.float32)[:, None]
    return (1 - weight) * trajectories.states[trajectory, first] + weight * trajectories.states[other, first]


class Room:
    """Arrays of roll-outs, (steps, genes, columns), that one call after another writes into: their memory is there already."""

    def __init__(self) -> None:
        self.arrays: tuple[Floats, ...] = ()

    def of(self, steps: int, genes: int, number: int) -> tuple[Floats, ...]:
        """Return arrays for the states and their derivatives (steps + 1), and for two productions (steps)."""
        if not self.arrays or self.arrays[2].shape != (steps, genes, room_for(number)):
            sizes = (steps + 1, steps + 1, steps, steps)
            self.arrays = tuple(np.empty((size, genes, room_for(number)), np.float32) for size in sizes)
        return self.arrays


def squared_error(
    model: GeneWise,
    trajectories: Trajectories,
    starts: Starts,
    gene_weights: Floats,
    longest_step: float = math.inf,
    room: Room | None = None,
) -> tuple[float, Floats, Floats, Floats]:
    """Return the weighted mean squared error of all states after the starts, and its derivatives: weights, bias, rates.

    `gene_weights` (genes,) have the mean 1; `room` is overwritten, None: new arrays.
    """
    number, genes = len(starts.first), trajectories.states.shape[2]
    length = trajectories.lengths[starts.trajectory]
    steps, observed = solver_steps(trajectories.intervals[starts.trajectory], 1, longest_step)
    x, of_x, *scratch = (room or Room()).of(len(steps), genes, number)
    x[observed[starts.first], :, np.arange(number)] = starts.states
    active = np.searchsorted(observed[starts.first], np.arange(len(steps)), side="right")
    arguments = (active, steps, *model.layout, x, *scratch)
    forward(*arguments)
    count = int((length - 1 - starts.first).sum()) * genes
    if len(steps) + 1 > len(observed):  # states between those that are observed have no error of their own
        of_x[:] = 0
    weights = gene_weights * np.float32(2 / count)
    loss = compare(x, trajectories.by_time, observed, starts.trajectory, starts.first, length, weights, of_x) / 2
    of_weights, of_bias, of_rates = (np.zeros_like(part) for part in (model.weights.data, model.bias, model.rates))
    backward(*arguments, of_x, of_weights, of_bias, of_rates)
    return loss, of_weights, of_bias, of_rates


def mean_features(model: GeneWise, trajectories: Trajectories) -> Floats:
    """Return the features of the field, averaged over all states of some trajectories, (genes + pairs,)."""
    seen = np.arange(trajectories.states.shape[1]) < trajectories.lengths[:, None]
    features = features_of(model, trajectories.states[seen])
    return np.asarray(np.concatenate([part.mean(0) for part in features]), dtype=np.float32)


class Trainer:
    """One model in training; `model` is its present state.

    The pull holds on to the model it was made with, and after `prune` to the pruned one. `gene_weights` (genes,) weigh the
    squared errors of the genes; None: all alike. `follow` is told of every step: the model before it, and the gradients
    (edges,) of its weights before they are clipped.
    """

    def __init__(
        self,
        model: GeneWise,
        trajectories: Trajectories,
        settings: WholeTrajectories,
        seed: int = 0,
        gene_weights: NDArray[np.floating[Any]] | None = None,
        follow: Callable[[GeneWise, Floats], None] | None = None,
    ) -> None:
        given = np.ones(len(model.bias)) if gene_weights is None else gene_weights
        self.gene_weights = (given / given.mean()).astype(np.float32)
        self.model, self.trajectories, self.settings, self.follow = model, trajectories, settings, follow
        self.rng = np.random.default_rng(seed)
        self.moving = torch.from_numpy(model.rates > SLOWEST)
        rates = torch.from_numpy(np.maximum(model.rates, SLOWEST))
        values = (torch.from_numpy(model.weights.data), torch.from_numpy(model.bias), rates.log())
        self.values = tuple(value.clone().requires_grad_() for value in values)
        self.anchor = tuple(value.clone() for value in values)
        self.kept = torch.ones_like(values[0])
        self.edges: NDArray[np.intp] | None = None  # that are left, as places; None: all
        self.room = Room()
        rows, weighed = trajectories.velocity, settings.velocity_weight > 0
        self.velocity = (
            MeasuredVelocity.of(rows, model.rates, self.gene_weights) if weighed and rows is not None else None
        )
        self.velocity_rng = np.random.default_rng([seed, 1])  # what velocities are drawn changes no roll-out
        self.losses: list[float] = []  # of every epoch
        self.sizes: list[int] = []  # edges left in every epoch

    def train(self, epochs: int, callbacks: Sequence[Callback] = ()) -> None:
        """Train for some epochs with a schedule of their own; callbacks are given the numbers of epochs from 1."""
        self.optimiser, self.planned = torch.optim.Adam(self.values, lr=self.settings.learning_rate), epochs
        run_epochs(self, range(1, epochs + 1), callbacks)

    def batches(self, epoch: int) -> Iterator[Starts]:
        """Set the learning rate of an epoch, and yield its one batch of roll-outs."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.settings.learning_rate * (1 + math.cos(math.pi * (epoch - 1) / self.planned)) / 2
        yield self._draw()

    def look(self) -> None:
        """Tell the one that follows of the gradients of a batch, without a step; do nothing where nobody does."""
        if self.follow is not None:
            self._differentiate(self._draw())

    def prune(self, kept: NDArray[np.bool_]) -> None:
        """Set weights to 0 for good where `kept` (edges,) is false.

        What the removed edges do in the mean of the states goes to the bias: many faint edges together are mostly constant.
        The pull holds on to the pruned model from then on.
        """
        gone = np.where(kept, 0, self.model.weights.data)
        removed = sp.csr_array((gone, self.model.weights.indices, self.model.weights.indptr), self.model.weights.shape)
        self.kept *= torch.from_numpy(kept)
        self.edges = np.flatnonzero(self.kept.numpy())
        with torch.no_grad():
            self.values[1].add_(torch.from_numpy(removed @ mean_features(self.model, self.trajectories)))
        self._take_over()
        self.anchor = tuple(value.detach().clone() for value in self.values)

    def differentiate(self, batch: Starts) -> None:
        """Set the gradients of the error and the pull; note the loss and the number of edges."""
        loss = self._differentiate(batch)
        self.losses.append(loss)
        self.sizes.append(int(np.count_nonzero(self.model.weights.data)))

    def update(self) -> None:
        """Take a step of Adam along the clipped gradient."""
        torch.nn.utils.clip_grad_norm_(self.values, self.settings.clip)
        self.optimiser.step()
        self._take_over()

    def _draw(self) -> Starts:
        settings = self.settings
        return Starts.draw(
            self.trajectories, settings.batch_size, self.rng, settings.from_start, mixed=settings.mixed_starts
        )

    def _differentiate(self, batch: Starts) -> float:
        settings = self.settings
        loss, *found = self._squared_error(batch)
        if not math.isfinite(loss):
            raise NonFiniteError(
                f"Training on whole trajectories left the finite numbers after {len(self.losses)} epochs. Lower the "
                f"learning rate (now {settings.learning_rate:g}), or look at the values of the genes."
            )
        found[2] = found[2] * self.model.rates  # the derivative with respect to log r
        pull = [2 * settings.pull / len(self.model.bias) * factor for factor in (1.0, 1.0, settings.rate_pull)]
        for value, anchor, gradient, strength in zip(self.values, self.anchor, found, pull, strict=True):
            value.grad = torch.from_numpy(gradient) + strength * (value.detach() - anchor)
        self.values[0].grad *= self.kept  # type: ignore[operator]
        self.values[2].grad *= self.moving  # type: ignore[operator]
        if self.follow is not None:
            self.follow(self.model, self.values[0].grad.numpy())  # type: ignore[union-attr]
        return loss

    def _squared_error(self, batch: Starts) -> tuple[float, Floats, Floats, Floats]:
        """Return the error of the model and its derivatives; pruned edges, which stay at 0, are not computed with."""
        model = self.model if self.edges is None else self.model.of_edges(self.edges)
        loss, of_weights, of_bias, of_rates = squared_error(
            model, self.trajectories, batch, self.gene_weights, self.settings.longest_step, self.room
        )
        if self.velocity is not None:
            more, *others = velocity_error(model, *self.velocity.draw(self.velocity_rng), self.velocity.weights)
            weight = np.float32(SHARE * self.settings.velocity_weight)
            loss += float(weight) * more
            for derivative, other in zip((of_weights, of_bias, of_rates), others, strict=True):
                derivative += weight * other
        if self.edges is not None:
            of_left, of_weights = of_weights, np.zeros_like(self.model.weights.data)
            of_weights[self.edges] = of_left
        return loss, of_weights, of_bias, of_rates

    @torch.no_grad()
    def _take_over(self) -> None:
        weights, bias, rates = self.values
        weights *= self.kept
        speed = (rates.exp() * self.moving).numpy()
        self.model = self.model.with_arrays(weights.detach().numpy().copy(), bias.detach().numpy().copy(), speed)
