"""Steady states of a fitted network under interventions, reached from the control as the cells would reach them."""

from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash.screens.statistics import Floats, sigmoid_feature

TOLERANCE = 1e-8  # change of a step, relative to 1 or to the largest state, below which a state is at rest
SLOW = 0.9  # ratio of the sizes of two steps above which they shrink too slowly to be left alone
SMALLEST_STEP = 0.02
MOST = 2000  # steps of a perturbation
EXTRAPOLATE_EVERY = 10  # steps between two extrapolations of the same perturbation
SPARSE = 0.05  # fraction of the weights of regulators below which products with their zeros are left out
EXPLODED = 1e8  # states this far from the control are not computed any further


@dataclass(frozen=True)
class Equilibrium:
    """y = constant + weights' f(y) for free genes; what an intervention does to a target is in `effect`.

    All states are relative to the control mean. For perfect interventions `effect` is the value a target takes, for
    imperfect ones what is added to its equation.
    """

    weights: Floats  # (regulator, target), in units of the states; regulators are the `sources`
    constant: Floats  # (genes,)
    effect: Floats  # (genes,), NaN where the gene was in no training perturbation
    slope: float | None = 1.0  # None: linear
    untried: float = 1.0  # fraction of a gene's feature that counts where it is perturbed and never was in training
    sources: NDArray[np.int64] | None = None  # positions of the regulators among the genes; None: all genes

    @property
    def regulators(self) -> tuple[NDArray[np.int64], Floats]:
        """Positions of the genes that have edges, and their rows of the weights."""
        rows = np.flatnonzero((self.weights != 0).any(axis=1))
        return (rows if self.sources is None else self.sources[rows]), self.weights[rows]


class SteadyStates(NamedTuple):
    """States (perturbations, genes), and which perturbations came to rest: the others hold their last state."""

    values: Floats
    converged: NDArray[np.bool_]


@dataclass(frozen=True)
class _Equations:
    """The right-hand sides of some perturbations: y is at rest where it equals `next(y)`."""

    slope: float | None
    regulators: NDArray[np.int64]  # positions of the genes that have edges
    weights: Any  # of these, (regulators, genes), sparse or dense
    constant: Floats
    held: NDArray[np.bool_]  # (perturbations, genes)
    effect: Floats
    added: Floats
    share: Floats  # (perturbations, regulators)

    def next(self, y: Floats) -> Floats:
        feature = self.share * sigmoid_feature(y[:, self.regulators], self.slope)
        found: Floats = np.where(self.held, self.effect, self.constant + feature @ self.weights + self.added)
        return found

    def rows(self, which: NDArray[np.bool_]) -> "_Equations":
        parts = {name: getattr(self, name)[which] for name in ("held", "effect", "added", "share")}
        return replace(self, **parts)


def steady_states(
    model: Equilibrium, targets: NDArray[np.bool_], perfect: NDArray[np.bool_], effect: Floats
) -> SteadyStates:
    """Return the fixed points (perturbations, genes) under interventions that are reached from the control.

    `targets` (perturbations, genes) and `perfect` (perturbations,) say what is done where, `effect` (perturbations,
    genes) how much. Each perturbation takes steps dy = h (next(y) - y) of its own size h: shorter ones where it moves back
    and forth. Steps that shrink slowly by a constant factor
    are summed up at once, as a geometric series, if that brings the state closer to rest. What has not come to rest after
    `MOST` steps oscillates, diverges or takes too long; it is returned as it then is, and marked.
    """
    held = targets & perfect[:, None]
    regulators, weights = model.regulators
    untried = (targets & np.isnan(model.effect))[:, regulators]
    sparse = np.count_nonzero(weights) < SPARSE * weights.size
    equations = _Equations(
        slope=model.slope,
        regulators=regulators,
        weights=sp.csr_array(weights) if sparse else weights,
        constant=model.constant,
        held=held,
        effect=effect,
        added=np.where(targets & ~perfect[:, None], effect, 0.0),
        share=np.where(untried, model.untried, 1.0),
    )
    values = np.where(held, effect, 0.0)
    converged = np.zeros(len(values), bool)
    left: NDArray[np.int64] = np.arange(len(values))  # the perturbations that still move
    walk = _Walk.start(equations, values)
    for number in range(MOST):
        at_rest, gone = walk.at_rest(), walk.gone()
        over = at_rest | gone
        if over.any():
            values[left[over]] = np.where(at_rest[:, None], walk.y + walk.change, walk.y)[over]
            converged[left[at_rest]] = True
            left, walk = left[~over], walk.rows(~over)
        if not len(left):
            return SteadyStates(values, converged)
        walk = walk.go_on(extrapolate=number % EXTRAPOLATE_EVERY == EXTRAPOLATE_EVERY - 1)
    values[left] = walk.y
    return SteadyStates(values, converged)


@dataclass(frozen=True)
class _Walk:
    """Where some perturbations are, where they are drawn to, and how far each goes with every step."""

    equations: _Equations
    y: Floats
    change: Floats  # next(y) - y
    before: Floats  # the change at the step before
    step: Floats  # (perturbations, 1)

    @classmethod
    def start(cls, equations: _Equations, y: Floats) -> "_Walk":
        change = equations.next(y) - y
        return cls(equations, y, change, np.full_like(change, np.inf), np.ones((len(y), 1)))

    def rows(self, which: NDArray[np.bool_]) -> "_Walk":
        parts = {name: getattr(self, name)[which] for name in ("y", "change", "before", "step")}
        return replace(self, equations=self.equations.rows(which), **parts)

    def at_rest(self) -> NDArray[np.bool_]:
        return _size(self.change) < TOLERANCE * np.maximum(1.0, _size(self.y))

    def gone(self) -> NDArray[np.bool_]:
        return ~(_size(self.y) < EXPLODED)  # also where it is not a number

    def go_on(self, *, extrapolate: bool) -> "_Walk":
        """Take one step."""
        walk = self._jump() if extrapolate else self
        y = walk.y + walk.step * walk.change
        change = walk.equations.next(y) - y
        return replace(walk, y=y, change=change, before=walk.change, step=walk._next_step(change))

    def _next_step(self, change: Floats) -> Floats:
        """Return shorter steps where a change turns without getting smaller."""
        ratio, cosine = _compared(change, self.change)
        turned = (ratio > SLOW) & (cosine < SLOW)
        return np.asarray(np.maximum(self.step * np.where(turned, 0.7, 1.0)[:, None], SMALLEST_STEP))

    def _jump(self) -> "_Walk":
        """Sum up the steps that remain where they shrink by a constant factor in one direction, if that helps."""
        ratio, cosine = _compared(self.change, self.before)
        series = (ratio > 0.5) & (ratio < 1) & (cosine > 0.999)
        if not series.any():
            return self
        remaining = self.step / np.where(series, 1 - ratio, 1.0)[:, None]
        y = np.where(series[:, None], self.y + remaining * self.change, self.y)
        change = self.equations.next(y) - y
        better = (series & (_size(change) < _size(self.change)))[:, None]
        return replace(self, y=np.where(better, y, self.y), change=np.where(better, change, self.change))


def _size(rows: Floats) -> Floats:
    return np.asarray(np.abs(rows).max(axis=1, initial=0.0))


def _compared(new: Floats, old: Floats) -> tuple[Floats, Floats]:
    """Return the ratio of the lengths of two changes, and the cosine between them, of every perturbation."""
    usable = np.asarray(np.isfinite(old).all(axis=1))
    old = np.where(usable[:, None], old, 0.0)
    first, second = np.linalg.norm(new, axis=1), np.linalg.norm(old, axis=1)
    known = usable & (first > 0) & (second > 0)
    ratio = np.where(known, first / np.where(known, second, 1.0), 0.0)
    cosine = np.where(known, (new * old).sum(axis=1) / np.where(known, first * second, 1.0), 0.0)
    return ratio, cosine
