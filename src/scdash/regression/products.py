"""Squares and products of a gene's strongest regulators (AND, OR, saturation), for prediction; edges stay linear."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash.regression.l1_paths import l1_path
from scdash.regression.linear_field import Field
from scdash.regression.linear_fits import Linear
from scdash.regression.penalty_choice import choose
from scdash.regression.problems import Problem, Regression, Setup
from scdash.regression.production import softsign

LAMBDAS = np.geomspace(0.3, 0.003, 12)
FACTORS = (1.0, 2.0, 4.0)  # penalty of products relative to effects
TARGETS_AT_ONCE = 256


@dataclass(frozen=True)
class Terms:
    """Features of each target's own: its strongest regulators, then their squares and products."""

    regulator: Index  # (t, k) places among the regulators
    real: NDArray[np.bool_]  # (t, k)
    first: Index  # (q,) places within k of the products' factors
    second: Index  # (q,)

    @classmethod
    def of(cls, effects: Any, number: int) -> "Terms":
        """Return the terms of the `number` strongest effects of each target, CSR (t, p)."""
        size = np.abs(effects.toarray())
        number = min(number, max(int((size > 0).sum(axis=1).max()), 1))
        order = np.argsort(-size, axis=1, kind="stable")[:, :number]
        real = np.take_along_axis(size, order, axis=1) > 0
        return cls(order, real, *np.triu_indices(number))

    @property
    def allowed(self) -> NDArray[np.bool_]:
        """Which features exist, (t, k + q)."""
        return np.concatenate([self.real, self.real[:, self.first] & self.real[:, self.second]], axis=1)

    def features(self, problem: Problem, setup: Setup, rate: float, slope: float) -> Floats:
        """Return the mean of every feature over every transition, (t, m, k + q)."""
        total: Any = 0
        for x, weight in problem.within(setup, rate, "observed"):
            phi = softsign(x, slope).T[self.regulator]  # (t, k, m)
            both = np.concatenate([phi, phi[:, self.first] * phi[:, self.second]], axis=1)
            total = total + both * weight
        result: Floats = np.ascontiguousarray(total.swapaxes(1, 2))
        return result


def add_products(linear: Linear, problems: list[Problem], setup: Setup, slope: float) -> tuple[list[Field], float]:
    """Return the fields in which genes use products where that lowers the error of predicting later states, and that error.

    There is a field for every problem. All offer a gene the same terms, those of the first problem's strongest effects.
    Held-out transitions of the problems have been simulated from their observed starts.
    """
    entries = [
        Entries(effects.tolil(), intercept.copy(), {}, [])
        for effects, intercept in zip(linear.effects, linear.intercepts, strict=True)
    ]
    errors = np.zeros((len(problems) - 1, len(setup.targets)))
    for rate in np.unique(linear.rates):
        regressions = [problem.regression(setup, float(rate), slope, "observed") for problem in problems]
        some = np.flatnonzero(linear.rates == rate)
        parts = []
        for first in range(0, len(some), TARGETS_AT_ONCE):
            part = some[first : first + TARGETS_AT_ONCE]
            terms = Terms.of(linear.effects[0][part], setup.settings.products)
            parts.append(
                (part, terms, *_paths(problems, regressions, setup, terms, setup.targets[part], float(rate), slope))
            )
        offered = np.concatenate([p[-1] for p in parts], axis=2)  # (folds, settings, t)
        offered = np.concatenate([linear.held_errors(regressions, setup, some)[:, None], offered], axis=1)
        chosen = choose(offered, setup.settings.sharing)
        errors[:, some] = offered[:, chosen, np.arange(len(some))]
        for part, terms, coefficients, constants, _ in parts:
            settings = chosen[np.searchsorted(some, part)] - 1
            for one, own, constant in zip(entries, coefficients, constants, strict=True):
                one.add(part, terms, own, constant, settings)
    return [one.field(linear, setup, slope) for one in entries], float(errors.mean())


@dataclass
class Entries:
    """Coefficients of the genes, gathered one gene after the other."""

    effects: Any  # LIL (t, p)
    intercept: Floats  # (t,)
    pairs: dict[tuple[int, int], int]
    found: list[tuple[int, int, float]]  # target, pair, coefficient

    def add(self, part: Index, terms: Terms, coefficients: Floats, constants: Floats, settings: Index) -> None:
        """Take over the coefficients of the genes whose setting is not negative."""
        for at, (target, setting) in enumerate(zip(part, settings, strict=True)):
            if setting < 0:
                continue
            own, linear = coefficients[setting, at], terms.regulator.shape[1]
            self.intercept[target] = constants[setting, at]
            self.effects[[target]] = 0
            for k in np.flatnonzero(own[:linear]):
                self.effects[target, terms.regulator[at, k]] = own[k]
            for q in np.flatnonzero(own[linear:]):
                a, b = sorted((int(terms.regulator[at, terms.first[q]]), int(terms.regulator[at, terms.second[q]])))
                self.found.append((target, self.pairs.setdefault((a, b), len(self.pairs)), own[linear + q]))

    def field(self, linear: Linear, setup: Setup, slope: float) -> Field:
        """Return the field over all genes."""
        fits = Linear(linear.rates, [self.effects.tocsr()], self.intercept[None], linear.errors)
        plain = fits.field(0, setup, slope)
        if not self.pairs:
            return plain
        targets, pairs, values = (np.array(column) for column in zip(*self.found, strict=True))
        products = sp.csr_array((values, (setup.targets[targets], pairs)), shape=(len(plain.bias), len(self.pairs)))
        genes = setup.regulators[np.array(list(self.pairs), dtype=np.intp)].astype(np.int64)
        return replace(plain, pairs=genes, product_effects=products)


def _paths(
    problems: list[Problem],
    regressions: list[Regression],
    setup: Setup,
    terms: Terms,
    targets: Index,
    rate: float,
    slope: float,
) -> tuple[Floats, Floats, Floats]:
    """Return coefficients (problems, settings, t, terms), intercepts (problems, settings, t), errors (folds, settings, t)."""
    own = problems[0].penalty[terms.regulator, targets[:, None]]
    grams, crosses, scales, held = [], [], [], []
    for problem, regression in zip(problems, regressions, strict=True):
        x, y = terms.features(problem, setup, rate, slope), regression.y[:, targets].T  # (t, m, k), (t, m)
        fit, held_out = regression.fit, regression.held
        weight = regression.precision[fit] / regression.precision[fit].sum()
        centre, middle = weight @ x[:, fit], y[:, fit] @ weight
        inner, outer = (
            (x[:, fit] - centre[:, None]) * np.sqrt(weight)[:, None],
            (y[:, fit] - middle[:, None]) * np.sqrt(weight),
        )
        scale = np.sqrt((inner**2).sum(axis=1)) + 1e-9
        height = np.sqrt((outer**2).sum(axis=1)) + 1e-12
        inner /= scale[:, None]
        grams.append(inner.swapaxes(1, 2) @ inner)
        crosses.append(inner.swapaxes(1, 2) @ (outer / height[:, None])[..., None])
        scales.append((centre, middle, height[:, None] / scale))
        held.append((x[:, held_out], y[:, held_out], regression.precision[held_out]))
    many, (count, width) = len(problems), grams[0].shape[:2]
    gram, cross = np.concatenate(grams), np.concatenate(crosses)
    allowed = np.tile(terms.allowed, (many, 1))[..., None]
    coefficients, intercepts, errors = [], [], []
    for factor in FACTORS:
        price = np.concatenate([own, np.full((count, width - own.shape[1]), factor)], axis=1)
        path = l1_path(gram, cross, LAMBDAS, penalty=np.tile(price, (many, 1))[..., None], allowed=allowed)
        path = path[..., 0].reshape(many, count, len(LAMBDAS), width)
        raw = np.stack([p * s[2][:, None] for p, s in zip(path, scales, strict=True)])
        constant = np.stack(
            [s[1][:, None] - np.einsum("tlk,tk->tl", r, s[0]) for r, s in zip(raw, scales, strict=True)]
        )
        coefficients.append(raw.swapaxes(1, 2))
        intercepts.append(constant.swapaxes(1, 2))
        evaluated = []
        for (x, y, precision), r, c in list(zip(held, raw, constant, strict=True))[1:]:
            residual = y[..., None] - x @ r.swapaxes(1, 2) - c[:, None]
            evaluated.append(np.einsum("tml,m->lt", residual**2, precision) / max(len(precision), 1))
        errors.append(np.stack(evaluated))
    return np.concatenate(coefficients, axis=1), np.concatenate(intercepts, axis=1), np.concatenate(errors, axis=1)
