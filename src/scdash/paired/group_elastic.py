"""Least squares with a group-wise elastic net, by an active set on the Gram matrix."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scdash.paired.design import Design, Floats

TOLERANCE = 1e-10  # of the optimality conditions, relative to the largest ||X'T / n|| of a row
MAX_ITERATIONS = 20_000  # proximal steps on one active set
MAX_ROUNDS = 100  # growths of the active set
GROWTH = 50  # rows added at once: each costs a product with all of X


@dataclass(frozen=True)
class Penalty:
    """lambda [alpha sum_i ||W_i|| + (1 - alpha) / 2 ||W||^2]."""

    lam: float
    alpha: float = 1.0

    @property
    def group(self) -> float:
        """Weight of the sum of row norms."""
        return self.lam * self.alpha

    @property
    def ridge(self) -> float:
        """Weight of ||W||^2 / 2."""
        return self.lam * (1 - self.alpha)


def active_set_solution(
    design: Design, cross: Floats, penalty: Penalty, start: Floats | None = None
) -> tuple[Floats, bool]:
    r"""Minimise :math:`\frac{1}{2n}\|T - XW\|^2 + \lambda[\alpha\sum_i\|W_i\| + \frac{1-\alpha}{2}\|W\|^2]`.

    Equal to scikit-learn's `MultiTaskElasticNet(alpha=lambda, l1_ratio=alpha, fit_intercept=False)` (W transposed).

    `design`: X. `cross`: X'T / n, (genes, targets). `penalty`: lambda and alpha > 0. `start`: W to start from, (genes,
    targets). The result is W, and whether its optimality conditions were met to `TOLERANCE` * max_i ||X_i'T / n|| within
    the rounds allowed.
    """
    values = np.zeros_like(cross) if start is None else start.copy()
    level = TOLERANCE * max(float(np.linalg.norm(cross, axis=1).max(initial=0)), 1e-300)
    active = np.flatnonzero(np.any(values, axis=1))
    for _ in range(MAX_ROUNDS):
        gram = design.gram(active)
        if len(active):
            values[active] = proximal_gradient(gram[active], cross[active], penalty, values[active], level)
        slope = np.linalg.norm(cross - gram @ values[active], axis=1)
        slope[active] = 0
        broken = np.flatnonzero(slope > penalty.group + level)
        if not len(broken):
            return values, True
        worst = broken[np.argsort(-slope[broken], kind="stable")[:GROWTH]]
        kept = active[np.any(values[active], axis=1)]
        active = np.sort(np.concatenate([kept, worst]))
    return values, False


def proximal_gradient(gram: Floats, cross: Floats, penalty: Penalty, start: Floats, level: float) -> Floats:
    """Solve on a small Gram matrix by accelerated proximal gradient steps with restarts (O'Donoghue & Candes 2015)."""
    step = 1 / (float(np.linalg.eigvalsh(gram)[-1]) + penalty.ridge + 1e-300)
    current, ahead, momentum = start, start, 1.0
    for iteration in range(MAX_ITERATIONS):
        slope = gram @ ahead - cross + penalty.ridge * ahead
        following = shrink_rows(ahead - step * slope, step * penalty.group)
        if np.vdot(ahead - following, following - current) > 0:
            momentum, ahead = 1.0, current  # the momentum points uphill
            slope = gram @ ahead - cross + penalty.ridge * ahead
            following = shrink_rows(ahead - step * slope, step * penalty.group)
        faster = (1 + np.sqrt(1 + 4 * momentum**2)) / 2
        ahead = following + (momentum - 1) / faster * (following - current)
        current, momentum = following, faster
        if iteration % 10 == 9 and optimality(gram, cross, penalty, current) <= level:
            break
    return current


def shrink_rows(values: Floats, amount: float) -> Floats:
    """Return the proximal step of amount * sum_i ||W_i||."""
    norms = np.sqrt(np.einsum("ij,ij->i", values, values))
    return np.asarray(values * np.maximum(1 - amount / np.maximum(norms, 1e-300), 0)[:, None])


def optimality(gram: Floats, cross: Floats, penalty: Penalty, values: Floats) -> float:
    """Return by how much the optimality conditions are missed, the largest over rows."""
    slope = cross - gram @ values - penalty.ridge * values
    norms = np.sqrt(np.einsum("ij,ij->i", values, values))
    zero = norms == 0
    direction = values / np.where(zero, 1, norms)[:, None]
    missed = np.linalg.norm(slope - penalty.group * direction, axis=1)
    missed[zero] = np.maximum(np.linalg.norm(slope[zero], axis=1) - penalty.group, 0)
    return float(missed.max(initial=0))


def nonzero_rows(values: Floats) -> NDArray[np.intp]:
    """Return the rows that are not exactly zero."""
    return np.flatnonzero(np.any(values, axis=1))
