"""Linear fits of all problems at chosen penalties, and one rate for every gene where that lowers its held-out error."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash.regression.l1_paths import l1_path
from scdash.regression.linear_field import Field
from scdash.regression.penalty_choice import Paths, choose
from scdash.regression.problems import Problem, Regression, Setup

ENTRIES_AT_ONCE = 20_000_000  # bound on the entries of Gram matrices in memory together


@dataclass
class Linear:
    """Rates, effects and intercepts of the changing genes (targets) for every problem."""

    rates: Floats  # (t,)
    effects: list[Any]  # [problem] CSR (t, p)
    intercepts: Floats  # (problems, t)
    errors: Floats  # (folds, t), on the held-out transitions

    @classmethod
    def of(cls, paths: Paths, index: Index, rate: float) -> "Linear":
        """Return the fits at the places `index` on the paths."""
        targets = np.arange(len(index))
        taken = [paths.take(index, number) for number in range(len(paths.coefficients[0]))]
        intercepts = np.stack([intercept for _, intercept in taken])
        return cls(np.full(len(index), rate), [e for e, _ in taken], intercepts, paths.errors[:, index, targets])

    def field(self, problem: int, setup: Setup, slope: float) -> Field:
        """Return the vector field over all genes."""
        genes = setup.allowed.shape[1]
        bias, rates = np.zeros(genes), np.zeros(genes)
        bias[setup.targets], rates[setup.targets] = self.intercepts[problem], self.rates
        return Field(spread(self.effects[problem], setup), bias, rates, slope)

    def held_errors(self, regressions: list[Regression], setup: Setup, some: Index) -> Floats:
        """Return the errors of some targets (places among them) on the folds' held rows, (folds, some)."""
        return np.stack(
            [
                regression.error(effects[some].toarray().T, intercept[some], setup.targets[some])
                for regression, effects, intercept in list(
                    zip(regressions, self.effects, self.intercepts, strict=True)
                )[1:]
            ]
        )


def spread(matrix: Any, setup: Setup) -> Any:
    """Return a matrix of (targets, regulators) as CSR over all genes, (n, n)."""
    genes, found = setup.allowed.shape[1], sp.coo_array(matrix)
    at = (setup.targets[found.coords[0]], setup.regulators[found.coords[1]])
    result = sp.csr_array((found.data, at), shape=(genes, genes))
    result.eliminate_zeros()
    return result


def refine_rates(
    linear: Linear,  # fits at the shared rate
    problems: list[Problem],
    regressions: list[Regression],
    setup: Setup,
    level: Floats,  # penalty chosen for every target, (t,)
    slope: float,
    table: list[dict[str, Any]],  # gets a row
) -> Linear:
    """Refit every gene's regulators at other rates; keep what lowers the held-out error.

    `problems`, `regressions`, `setup`, `slope`: the data and its folds, with their regressions at the shared rate.
    """
    settings, targets, began = setup.settings, setup.targets, time.perf_counter()
    factors = np.array(sorted({1.0, *settings.gene_rates}))
    if len(factors) == 1:
        return linear
    rate = float(linear.rates[0])
    errors = np.empty((len(problems) - 1, len(factors), len(targets)))
    fits = []
    for at, factor in enumerate(factors):
        here = regressions
        if factor != 1.0:
            here = [problem.regression(setup, rate * factor, slope) for problem in problems]
        fits.append(_on_support(linear.effects[0], here, setup, problems, level))
        errors[:, at] = fits[-1].held_errors(here, setup, np.arange(len(targets)))
    best = choose(errors, settings.sharing)
    rows = np.arange(len(targets))
    picked = [sp.diags_array((best == at).astype(np.float64)) for at in range(len(factors))]
    effects = [
        sp.csr_array(sum(pick @ fit.effects[k] for pick, fit in zip(picked, fits, strict=True)))
        for k in range(len(problems))
    ]
    intercepts = np.stack([fit.intercepts for fit in fits])[best, :, rows].T
    result = Linear(rate * factors[best], effects, intercepts, errors[:, best, rows])
    moved = int((factors[best] != 1.0).sum())
    table.append(
        {"stage": f"rates: {moved} genes of their own", "rate": float(np.median(result.rates)), "slope": slope}
        | {"cv_error": float(result.errors.mean()), "seconds": time.perf_counter() - began}
    )
    return result


def _on_support(
    effects: Any, regressions: list[Regression], setup: Setup, problems: list[Problem], level: Floats
) -> Linear:
    """Fit the regulators of `effects`, CSR (t, p), anew on all problems at the penalties `level` (t,).

    Every gene is a regression on its own few regulators, with a Gram matrix of that size.
    """
    effects = sp.csr_array(effects, copy=True)
    effects.eliminate_zeros()
    targets, counts = setup.targets, np.diff(effects.indptr)
    order = np.argsort(-counts, kind="stable")  # genes with as many regulators together
    fits = [np.zeros(len(effects.data)) for _ in problems]
    intercepts = np.empty((len(problems), len(targets)))
    moments = [regression.moments(targets, standardize=setup.settings.standardize) for regression in regressions]
    first = 0
    while first < len(order):
        width = max(int(counts[order[first]]), 1)
        some = order[first : first + max(1, ENTRIES_AT_ONCE // (len(problems) * width**2))]
        first += len(some)
        real = np.arange(width) < counts[some, None]
        place = np.where(real, effects.indptr[some, None] + np.arange(width), 0)
        # regulators, padded with 0; where no gene has any there is nothing to look up
        index = np.where(real, effects.indices[place], 0) if len(effects.indices) else place
        solved = _solve([m.within(some, index) for m in moments], problems, targets[some], index, real, level[some])
        for number, (m, scaled) in enumerate(zip(moments, solved, strict=True)):
            raw = np.where(real, scaled * m.target_scale[some, None] / m.scale[index], 0)
            intercepts[number, some] = m.target_centre[some] - (m.centre[index] * raw).sum(axis=1)
            fits[number][place[real]] = raw[real]
    found = [sp.csr_array((values, effects.indices, effects.indptr), shape=effects.shape, copy=True) for values in fits]
    return Linear(np.ones(len(targets)), found, intercepts, np.zeros((0, 0)))


def _solve(
    moments: list[tuple[Floats, Floats]],
    problems: list[Problem],
    targets: Index,
    index: Index,
    real: NDArray[np.bool_],
    level: Floats,
) -> Floats:
    """Return the coefficients (problems, targets, k) of regressions that each have a Gram matrix of their own."""
    grams = np.concatenate([gram for gram, _ in moments])  # (problems * targets, k, k)
    cross = np.concatenate([pull for _, pull in moments])[..., None]
    penalty = np.concatenate([problem.penalty[index, targets[:, None]] for problem in problems])[..., None]
    solved = l1_path(
        grams,
        cross,
        np.tile(level, len(problems))[None, :, None],
        penalty=penalty,
        allowed=np.tile(real, (len(problems), 1))[..., None],
    )
    result: Floats = solved[:, 0, :, 0].reshape(len(problems), *index.shape)
    return result
