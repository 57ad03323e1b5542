r"""How far the states of a time course connect pairs of genes, without a fitted model.

Evidence of rates needs samples that are close beside the time in which genes relax: then the state before a step says how the next
change comes about, and which of two genes acts. Between samples far apart a gene reaches the level that its regulators set, the state before
says nothing any more, and only levels connect genes. The memory of the states, how far a gene's level predicts its own next
level, says which of the two holds, and weighs them.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.types import Floats, Index

MIN_STEPS = 4  # fewer leave a partial correlation almost nothing to vary
PAIRS_AT_ONCE = 100_000  # entries of products of columns that are computed in one block
FLAT = 1e-9  # spread, relative to the values, below which a column does not vary
RATE_MEASURES = 3  # stability of the regression, and two partial correlations with the state before a step


@dataclass(frozen=True)
class TimeCourse:
    """The steps of the trajectories that a fit has learned from, and its states."""

    before: Floats  # (steps, genes), states before a step
    after: Floats  # (steps, genes), states after it
    seen: Floats  # (states, genes), each once, also where several trajectories begin with it

    @classmethod
    def of(
        cls, states: NDArray[Any], times: NDArray[Any], trajectory: NDArray[Any], learned: NDArray[np.bool_]
    ) -> "TimeCourse":
        """Return the steps between two states of one trajectory that were both learned from."""
        states, times = np.asarray(states, dtype=np.float64), np.asarray(times, dtype=np.float64)
        name = np.array([str(label) for label in trajectory])
        order = np.lexsort((times, name))
        order = order[learned[order]]
        same = name[order[1:]] == name[order[:-1]]
        return cls(states[order[:-1][same]], states[order[1:][same]], np.unique(states[learned], axis=0))

    @cached_property
    def memory(self) -> float:
        """Mean correlation of the genes' states before and after a step, negative ones as 0; 1 where there are too few steps."""
        if len(self.before) < MIN_STEPS:
            return 1.0
        before, after = unit_columns(self.before), unit_columns(self.after)
        varies = (before != 0).any(axis=0) & (after != 0).any(axis=0)
        own = np.clip((before * after).sum(axis=0), 0.0, 1.0)
        return float(own[varies].mean()) if varies.any() else 1.0

    @property
    def weight(self) -> float:
        """Weight of `association` beside the stability of the regression, which counts as one of the measures of rates."""
        return 1 - self.memory / RATE_MEASURES

    def association(self, source: Index, target: Index) -> NDArray[np.float64]:
        r"""Return how far the states connect pairs of different genes, in [0, 1], with and without the order of time.

        With the memory m of the states (`memory`), and everywhere absolute values,

        .. math:: \Bigl(\frac{m}{3} (b + b^*) + \frac{1 - m}{4} (h + h^* + c + c^*)\Bigr) \Big/ \Bigl(1 - \frac{m}{3}\Bigr).

        b and h correlate the target's next state, less what its own state predicts of it, with the source before the step and with the mean
        of the source before and after it, given the target before it. b* and h* are given all other genes as well. c is the
        correlation of both genes over states, and c* that given all other genes (`ShrunkenCorrelations`). NaN for a gene with itself, and
        where there are too few steps.
        """
        if len(self.before) < MIN_STEPS:
            return np.full(len(source), np.nan)
        before = unit_columns(self.before)
        left = unit_columns(_less_own(self.after, before))
        rates, levels = np.zeros(len(source)), np.zeros(len(source))
        for total, inputs in ((rates, self.before), (levels, (self.before + self.after) / 2)):
            own = products(unit_columns(inputs), before, source, target)
            spread = np.sqrt(np.maximum(1 - own**2, FLAT))
            total += np.minimum(np.abs(products(unit_columns(inputs), left, source, target)) / spread, 1.0)
            total += np.abs(ShrunkenCorrelations(inputs).with_response(left, source, target))
        levels += np.abs(products(unit_columns(self.seen), unit_columns(self.seen), source, target))
        levels += np.abs(ShrunkenCorrelations(self.seen).partial(source, target))
        mixed = self.memory * rates / RATE_MEASURES + (1 - self.memory) * levels / 4
        return np.where(source == target, np.nan, mixed / self.weight)


class ShrunkenCorrelations:
    r"""Correlations of columns given all other columns, from a shrunken correlation matrix.

    :math:`R^* = (1 - \lambda) R + \lambda I` with the intensity that minimises its expected squared error,
    :math:`\lambda = \sum_{i \ne j} \mathrm{Var}(r_{ij}) / \sum_{i \ne j} r_{ij}^2` (Schaefer and Strimmer 2005,
    doi:10.2202/1544-6115.1175), and :math:`P = R^{*-1}`. All is computed from the products of rows with each other, so that it takes
    little memory for many columns and few rows.
    """

    def __init__(self, x: Floats) -> None:
        """Take the matrix, rows by columns."""
        rows = len(x)
        z = unit_columns(x)  # z.T @ z are the correlations
        self.flat = ~(z != 0).any(axis=0)
        squares = z**2
        self.basis: Floats | None = None
        self.core: Floats = z
        if rows > z.shape[1]:  # fewer rows, the same products of columns
            self.basis, self.core = np.linalg.qr(z)
        of_all = float(
            ((self.core @ self.core.T) ** 2).sum() - (squares.sum(axis=0) ** 2).sum()
        )  # of r^2, pairs i != j
        spread = float(((squares.sum(axis=1)) ** 2).sum() - (squares**2).sum())  # over rows, of all products squared
        variance = rows / (rows - 1) * (spread - of_all / rows)
        self.intensity = min(max(variance / of_all, 1e-6), 1.0) if of_all > 1e-12 else 1.0
        self.inner = (1 - self.intensity) * (self.core @ self.core.T) + self.intensity * np.eye(len(self.core))
        root = np.sqrt(1 - self.intensity) * np.linalg.solve(np.linalg.cholesky(self.inner), self.core)
        self.root = root  # P is (I - root.T @ root) / intensity
        self.own = 1 - (root**2).sum(axis=0)  # diagonal of P, times the intensity

    def partial(self, source: Index, target: Index) -> Floats:
        r"""Return :math:`-P_{ij} / \sqrt{P_{ii} P_{jj}}` of pairs of columns; 1 for a column with itself, NaN for one that does not vary."""
        found = products(self.root, self.root, source, target) / np.sqrt(self.own[source] * self.own[target])
        found = np.where(self.flat[source] | self.flat[target], np.nan, found)
        return np.asarray(np.where(source == target, 1.0, found))

    def with_response(self, response: Floats, source: Index, target: Index) -> Floats:
        r"""Return how far columns correlate with a response, after all other columns: :math:`(P r)_i / \sqrt{P_{ii}}`.

        r are the shrunken correlations of all columns with the response.

        `response`: unit columns, (rows, responses). `source`, `target`: pairs of a column and a response.
        """
        onto = response if self.basis is None else self.basis.T @ response
        solved = (1 - self.intensity) * np.linalg.solve(self.inner, onto)
        found = products(self.core, solved, source, target) / np.sqrt(self.own[source] / self.intensity)
        return np.asarray(np.where(self.flat[source], np.nan, np.clip(found, -1.0, 1.0)))


def unit_columns(x: Floats) -> Floats:
    """Return columns less their mean, of length 1; those that do not vary are 0."""
    centred = x - x.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    flat = size <= FLAT * np.maximum(1.0, np.abs(x).max(axis=0, initial=0.0))
    return np.asarray(np.divide(centred, size, out=np.zeros_like(centred), where=~flat))


def products(x: Floats, y: Floats, source: Index, target: Index) -> Floats:
    """Return the inner products of pairs of a column of x and a column of y."""
    found = np.empty(len(source))
    at_once = max(PAIRS_AT_ONCE // max(len(x), 1), 1)
    for start in range(0, len(source), at_once):
        block = slice(start, start + at_once)
        found[block] = (x[:, source[block]] * y[:, target[block]]).sum(axis=0)
    return found


def _less_own(after: Floats, before: Floats) -> Floats:
    """Return the states after steps less what a gene's own state before (unit columns) predicts linearly."""
    centred = after - after.mean(axis=0)
    return np.asarray(centred - before * (before * centred).sum(axis=0))
