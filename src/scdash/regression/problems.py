"""The data as a whole and its folds as parallel problems, each with noise, constants and denoised states of its own."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash.regression.gram import Moments
from scdash.regression.intervals import Trajectories, Transitions
from scdash.regression.linear_field import Field, integrate
from scdash.regression.noise import average_constants, denoise, noise_and_constants
from scdash.regression.production import NODE_WEIGHTS, NODES, productions, softsign, within
from scdash.regression.settings import TransitionSettings

Start: TypeAlias = Literal["denoised", "observed"]


@dataclass(frozen=True)
class Regression:
    """Features, productions and precisions of one problem at one rate; rows it is fitted on, and rows that evaluate it."""

    x: Floats  # (m, p)
    y: Floats  # (m, n)
    precision: Floats  # (m,)
    fit: NDArray[np.bool_]  # (m,)
    held: NDArray[np.bool_]  # (m,)

    def moments(self, targets: Index, *, standardize: bool) -> Moments:
        """Return the moments of the fitted rows for some targets."""
        y = self.y[np.ix_(self.fit, targets)]
        return Moments.of(self.x[self.fit], y, self.precision[self.fit], standardize=standardize)

    def error(self, raw: Floats, intercept: Floats, targets: Index, *, fitted: bool = False) -> Floats:
        """Return the mean weighted squared error of coefficients (p, t) on the held (or fitted) rows, (t,)."""
        rows = self.fit if fitted else self.held
        used = np.flatnonzero(raw.any(axis=1))
        predicted = self.x[np.ix_(rows, used)] @ raw[used] + intercept
        error: Floats = self.precision[rows] @ (self.y[np.ix_(rows, targets)] - predicted) ** 2 / max(rows.sum(), 1)
        return error


@dataclass(frozen=True)
class SimulatedTransitions:
    """Regulators' states at the Gauss nodes of some transitions."""

    states: Floats  # (q, m, p)
    left: Floats  # (q, m), time from the node to the end
    length: Floats  # (q, m), quadrature weight

    def at(self, q: int, rate: float) -> tuple[Floats, Floats]:
        """Return states (m, p) of one node and its weights (m,): its influence on the end, of 1 over all nodes."""
        influence = self.length * np.exp(-rate * self.left)
        return self.states[q], influence[q] / influence.sum(axis=0)


@dataclass
class Problem:
    """One fit: which intervals it sees, what it knows of the noise, and its current view of the states."""

    data: Trajectories
    sees: NDArray[np.bool_]  # (B, T - 1) intervals
    noise: float | None
    constant: NDArray[np.bool_]  # (n,)
    states: Floats  # (B, T, n)
    penalty: Floats  # (p, n), factor of lambda for every edge
    simulated: dict[Start, SimulatedTransitions] = field(
        default_factory=dict
    )  # held-out transitions as a fitted field predicts them

    @property
    def keep(self) -> NDArray[np.bool_]:
        """States (B, T) that belong to an interval seen."""
        kept = np.zeros(self.data.times.shape, dtype=bool)
        kept[:, :-1] |= self.sees
        kept[:, 1:] |= self.sees
        return kept

    def rows(self, steps: Transitions) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Return which transitions (m,) are fitted (all their intervals seen) and which are held out (none seen)."""
        seen = np.stack([self.sees[steps.trajectory, steps.first + step] for step in range(steps.lag)])
        return np.asarray(seen.all(axis=0)), np.asarray(~seen.any(axis=0))

    def within(self, setup: "Setup", rate: float, start: Start = "denoised") -> Iterator[tuple[Floats, Floats]]:
        """Yield regulators' states (m, p) within the transitions and their weights (m,), which sum to 1 over all.

        Fitted rows are interpolated between their (denoised) ends. Held-out rows are simulated from their start,
        once there is a field to do so: otherwise genes that share noise with the end, or carry information on it that a
        prediction does not have, would look like regulators.
        """
        simulated = self.simulated.get(start)
        held = self.rows(setup.steps)[1]
        states = self.states[:, :, setup.regulators]
        for q, (x, weight) in enumerate(within(self.data, states, setup.steps, rate, setup.settings.driver)):
            if simulated is not None:
                x[held], weight[held] = simulated.at(q, rate)
            yield x, weight

    def regression(self, setup: "Setup", rate: float, slope: float, start: Start = "denoised") -> Regression:
        """Return the regression at one rate and slope."""
        x: Any = sum(softsign(x, slope) * w[:, None] for x, w in self.within(setup, rate, start))
        y, precision = productions(self.data, setup.steps, rate)
        return Regression(x, y, precision, *self.rows(setup.steps))

    def look_ahead(self, setup: "Setup", model: Field) -> None:
        """Simulate the held-out transitions from their observed and denoised starts."""
        held = self.rows(setup.steps)[1]
        if held.any() and setup.settings.driver == "exponential":
            sources: dict[Start, Floats] = {"denoised": self.states, "observed": self.data.states}
            for start, states in sources.items():
                self.simulated[start] = simulate_transitions(
                    model, self.data, states, setup.steps, held, setup.regulators
                )

    def correct(self, model: Field) -> None:
        """Replace the states by the field's simulation, corrected by the observations."""
        if self.noise is None:
            return
        simulated = integrate(model, self.states[:, 0], self.data.times)
        corrected = denoise(self.data, simulated, self.noise, self.keep)
        corrected[:, :, self.constant] = self.states[:, :, self.constant]
        self.states = corrected


@dataclass(frozen=True)
class Setup:
    """What all problems share."""

    settings: TransitionSettings
    steps: Transitions
    regulators: Index  # (p,)
    targets: Index  # (t,), genes that change
    allowed: NDArray[np.bool_]  # (p, n)
    in_prior: NDArray[np.bool_] | None  # (p, n)

    def penalty(self, weight: float) -> Floats:
        """Return the factor of lambda for every edge, (p, n), for one weight of the prior."""
        if self.in_prior is None:
            return np.ones(self.allowed.shape, dtype=np.float32)
        return np.where(self.in_prior, np.float32(1 / weight), np.float32(1))


def make_problems(data: Trajectories, seen: list[NDArray[np.bool_]], settings: TransitionSettings) -> list[Problem]:
    """Return one problem for every set of intervals, with its own noise variance and constant genes."""
    problems = []
    for sees in seen:
        problem = Problem(data, sees, None, np.zeros(data.states.shape[2], dtype=bool), data.states, np.ones((1, 1)))
        if settings.detect_constants:
            problem.noise, problem.constant = noise_and_constants(data, problem.keep)
            if problem.constant.all():  # nothing but noise: let the regressions, and the report, find that out
                problem.noise, problem.constant = None, np.zeros_like(problem.constant)
            problem.states = average_constants(data, problem.constant)
        problems.append(problem)
    return problems


def folds_of(unit: Index, number: int, real: NDArray[np.bool_], rng: np.random.Generator) -> list[NDArray[np.bool_]]:
    """Return the intervals seen by every fold, (B, T - 1) each: all but those of its own units."""
    codes = np.unique(unit[real])
    fold = np.empty(int(codes.max()) + 1, dtype=np.int64)
    fold[codes] = rng.permutation(len(codes)) % number
    label = np.where(real, fold[np.where(real, unit, codes[0])], -1)
    return [real & (label != k) for k in range(min(number, len(codes)))]


def half_of(unit: Index, real: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[Any]:
    """Return the intervals (B, T - 1) of a random half of the units."""
    codes = np.unique(unit[real])
    chosen = rng.choice(codes, max(1, len(codes) // 2), replace=False)
    result: NDArray[Any] = real & np.isin(unit, chosen)
    return result


def simulate_transitions(
    field: Field, data: Trajectories, states: Floats, steps: Transitions, rows: NDArray[np.bool_], regulators: Index
) -> SimulatedTransitions:
    """Simulate some transitions (m,) from their start in `states` (B, T, n); keep the regulators at the Gauss nodes."""
    start = steps.at(data.times, 0)[rows]
    end = steps.at(data.times, steps.lag)[rows]
    times, length = [], []
    for step in range(steps.lag):
        begin, stop = steps.at(data.times, step)[rows], steps.at(data.times, step + 1)[rows]
        times.append(begin[:, None] + (NODES + 1) / 2 * (stop - begin)[:, None])
        length.append(NODE_WEIGHTS / 2 * (stop - begin)[:, None])
    at = np.concatenate(times, axis=1)
    path = integrate(field, steps.at(states, 0)[rows], np.column_stack([start, at]))[:, 1:, regulators]
    return SimulatedTransitions(path.swapaxes(0, 1).copy(), (end[:, None] - at).T, np.concatenate(length, axis=1).T)
