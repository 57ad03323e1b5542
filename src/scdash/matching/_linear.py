"""Linear fits of all problems at chosen penalties, and one rate for every gene where that lowers its held-out error."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp

from scdash.matching._activeset import Floats, Index
from scdash.matching._l1 import l1_path
from scdash.matching._problems import Problem, Regression, Setup
from scdash.matching._select import Paths, choose
from scdash.matching._simulate import Field

ENTRIES_AT_ONCE = 20_000_000  # bound on the dense coefficients in memory together


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
    linear: Linear,
    problems: list[Problem],
    regressions: list[Regression],
    setup: Setup,
    level: Floats,
    slope: float,
    table: list[dict[str, Any]],
) -> Linear:
    """Refit every gene's regulators at other rates; keep what lowers the held-out error.

    Parameters
    ----------
    linear
        Fits at the shared rate.
    problems, regressions, setup, slope
        The data and its folds, with their regressions at the shared rate.
    level
        Penalty chosen for every target, (t,).
    table
        Gets a row.
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
    """Fit the regulators of `effects`, CSR (t, p), anew on all problems at the penalties `level` (t,)."""
    targets, size = setup.targets, max(1, ENTRIES_AT_ONCE // (len(problems) * effects.shape[1]))
    found: list[list[Any]] = [[] for _ in problems]
    intercepts = np.empty((len(problems), len(targets)))
    for first in range(0, len(targets), size):
        part = slice(first, first + size)
        some = targets[part]
        moments = [regression.moments(some, standardize=setup.settings.standardize) for regression in regressions]
        solved = l1_path(
            np.stack([m.gram for m in moments]),
            np.stack([m.cross() for m in moments]),
            level[None, part],
            penalty=np.stack([problem.penalty[:, some] for problem in problems]),
            allowed=(effects[part] != 0).toarray().T,
        )[:, 0]
        for number, (m, s) in enumerate(zip(moments, solved, strict=True)):
            raw, intercepts[number, part] = m.unscale(s, slice(None))
            found[number].append(sp.csr_array(raw.T))
    return Linear(
        np.ones(len(targets)), [sp.vstack(parts, format="csr") for parts in found], intercepts, np.zeros((0, 0))
    )
