"""Penalty paths over all problems (the data and its folds), and the choice of each gene's penalty by held-out error."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from scdash._core.types import Floats, Index
from scdash.regression.gram import Moments
from scdash.regression.l1_paths import l1_path
from scdash.regression.problems import Regression

ENTRIES_AT_ONCE = 20_000_000  # bound on the dense coefficients in memory together
TOGETHER = 3  # penalties between two looks at the errors
RISE = 1.01  # a path ends once the mean held-out error exceeds its minimum by this factor


@dataclass
class Paths:
    """Coefficients of some targets along a path, in units of the data, and their held-out errors."""

    lambdas: Floats  # (L,)
    coefficients: list[list[Any]]  # [lambda][problem] CSR (t, p)
    intercepts: Floats  # (L, problems, t)
    errors: Floats  # (folds, L, t)

    def take(self, index: Index, problem: int) -> tuple[Any, Floats]:
        """Return CSR (t, p) and intercepts (t,) of one problem with every target at its own place on the path."""
        rows = np.arange(len(index))
        if len(index) and (index == index[0]).all():
            return sp.csr_array(self.coefficients[index[0]][problem]), self.intercepts[index, problem, rows]
        picked = sum(
            sp.diags_array((index == at).astype(float)) @ self.coefficients[at][problem] for at in np.unique(index)
        )
        return sp.csr_array(picked), self.intercepts[index, problem, rows]


def fit_paths(
    problems: list[Regression],  # regressions; those without held rows have no error
    targets: Index,  # columns of y to fit, (t,)
    lambdas: Floats,  # decreasing penalties
    penalties: list[Floats],
    allowed: NDArray[np.bool_],
    *,
    standardize: bool,
    mcp: float | None = None,
    max_active: int | None = None,
    stop: bool = True,  # end the path when the held-out errors have clearly risen
) -> Paths:
    """Fit paths for some targets on all problems.

    `penalties`, `allowed`: factor of the penalty of every edge, (p, n) for each problem, and edges allowed, (p, n),
    for all n genes. `standardize`, `mcp`, `max_active`: see `TransitionSettings`.
    """
    moments = [problem.moments(targets, standardize=standardize) for problem in problems]
    gram = np.stack([m.gram for m in moments])
    features = gram.shape[1]
    size = max(1, ENTRIES_AT_ONCE // (len(problems) * TOGETHER * features))
    blocks = [slice(first, first + size) for first in range(0, len(targets), size)]
    paths = Paths(lambdas, [], np.zeros((0, len(problems), len(targets))), np.zeros((0, 0, len(targets))))
    rows: list[Floats] = []
    held = [number for number, problem in enumerate(problems) if problem.held.any()]
    for first in range(0, len(lambdas), TOGETHER):
        some = lambdas[first : first + TOGETHER]
        solved: list[list[list[Any]]] = [[[] for _ in problems] for _ in some]
        intercepts = np.zeros((len(some), len(problems), len(targets)))
        errors = np.zeros((len(held), len(some), len(targets)))
        for block in blocks:
            start = None
            if first:
                before = [_scaled(s[block], m, block) for s, m in zip(paths.coefficients[-1], moments, strict=True)]
                start = np.stack(before)
            path = l1_path(
                gram,
                np.stack([m.cross(block) for m in moments]),
                some,
                penalty=np.stack([p[:, targets[block]] for p in penalties]),
                allowed=allowed[:, targets[block]],
                mcp=mcp,
                start=start,
                max_active=max_active,
            )
            for number, (problem, m) in enumerate(zip(problems, moments, strict=True)):
                for at in range(len(some)):
                    raw, intercept = m.unscale(path[number, at], block)
                    solved[at][number].append(sp.csr_array(raw.T))
                    intercepts[at, number, block] = intercept
                    if number in held:
                        errors[held.index(number), at, block] = problem.error(raw, intercept, targets[block])
        paths.coefficients += [[sp.vstack(parts, format="csr") for parts in level] for level in solved]
        paths.intercepts = np.concatenate([paths.intercepts, intercepts])
        rows.append(errors)
        paths.errors = np.concatenate(rows, axis=1)
        if stop and held and _risen(paths.errors):
            break
    paths.lambdas = lambdas[: len(paths.coefficients)]
    return paths


def _scaled(coefficients: Any, moments: Moments, block: slice) -> Floats:
    raw: Floats = coefficients.toarray().T
    return raw * moments.scale[:, None] / moments.target_scale[block]


def relative(errors: Floats) -> Floats:
    """Return errors (folds, settings, t), averaged over folds, relative to every target's smallest, (settings, t)."""
    mean = errors.mean(axis=0)
    result: Floats = mean / np.maximum(mean.min(axis=0), 1e-300)
    return result


def _risen(errors: Floats) -> bool:
    curve = relative(errors).mean(axis=1)
    return bool(curve[-1] > RISE * curve.min())


def choose(errors: Floats, sharing: float) -> Index:
    """Return every target's best setting for errors (folds, settings, t).

    A single gene's curve is flat and noisy near its minimum, and the minimum of noise is optimistic: it picks too weak
    penalties for some genes and too strong ones for others. So the mean curve of all genes, relative to each gene's
    smallest error, is added with weight `sharing`.
    """
    curves = relative(errors)
    chosen: Index = np.argmin(curves + sharing * curves.mean(axis=1, keepdims=True), axis=0)
    return chosen
