"""The regression of equilibria: the network of a screen as one sparse regression per gene on Hill features."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scdash.regression.l1_paths import l1_path
from scdash.screens.statistics import Floats, PerturbationStatistics

COVARIATIONS: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03)
TOLERANCE = 1e-5  # largest violation of the optimality conditions, in units of correlation


@dataclass(frozen=True)
class Problem:
    """Gram form of the regressions of all genes, standardised, for one set of perturbations and one weight of covariation."""

    sources: NDArray[np.int64]  # (p,), positions of the features' genes among the targets
    gram: Floats  # (p, p)
    cross: Floats  # (p, targets)
    row: NDArray[np.int64]  # (targets,), row of `downdate` and `moved`; -1: no used perturbation targets the gene
    downdate: Floats  # (perturbed targets, p, k)
    share: Floats  # (targets,), weight of the perturbations that leave the target alone
    scale_f: Floats  # (p,)
    scale_y: Floats  # (targets,)
    centre_f: Floats  # (p,), weighted mean feature over all used perturbations
    moved: Floats  # (perturbed targets, p), the same where the target is left alone, less `centre_f`
    mean_y: Floats  # (targets,), weighted mean state over the perturbations that leave the target alone

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """(p, targets), edges that the data can say something of; none from a gene to itself."""
        usable = np.isfinite(self.scale_f)[:, None] & (np.isfinite(self.scale_y) & (self.share > 0))
        usable[np.arange(len(self.sources)), self.sources] = False
        return usable

    def constants(self, weights: Floats) -> Floats:
        """Return the constants (targets,) with which weights (p, targets) are right in the mean of the perturbations."""
        target, source = np.nonzero(weights.T)
        return self.constants_of(source, target, weights[source, target])

    def constants_of(self, source: NDArray[np.int64], target: NDArray[np.int64], values: Floats) -> Floats:
        """Return the same from the edges that are not zero."""
        mean = np.broadcast_to(self.centre_f[source], values.shape).copy()
        known = self.row[target] >= 0
        mean[known] += self.moved[self.row[target[known]], source[known]]
        found: Floats = self.mean_y - np.bincount(target, values * mean, minlength=len(self.mean_y))
        return found

    def empty_from(self, penalty: Floats | None, *, nonnegative: bool) -> Floats:
        """Return the lambdas (targets,) from which on all coefficients of a target are zero, whatever edges are allowed."""
        size = np.maximum(self.cross, 0) if nonnegative else np.abs(self.cross)
        if penalty is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                size /= penalty
        size[~self.usable] = 0.0
        largest: Floats = size.max(axis=0, initial=0.0) / np.maximum(self.share, 1e-12)
        return np.nan_to_num(largest, nan=np.inf)


def perturbation_weights(counts: Floats, used: NDArray[np.bool_]) -> Floats:
    """Return weights n / (n + median n), normalised: means of more cells count more, but a huge control not hugely."""
    typical = np.median(counts[used])
    weight: Floats = np.where(used, counts / (counts + typical), 0.0)
    weight /= weight.sum()
    return weight


def build_problem(stats: PerturbationStatistics, used: NDArray[np.bool_], covariation: float) -> Problem:
    r"""Return the Gram form over the `used` perturbations (mask; the control included).

    Per target t, over the perturbations that do not target it::

        minimise over s, c  sum_r w_r (y_rt - c - s . f_r)^2 + covariation * mean over cells ((y - y_r) - s . (f - f_r))^2

    The means enter exactly. Within perturbations f'f is pooled over all used ones (it hardly depends on leaving a few
    out, and a Gram matrix per target would be cubic in genes); f'y is exact.
    """
    groups = np.append(np.unique(stats.fold[used & (stats.fold >= 0)]), len(stats.ff) - 1).astype(int)
    hidden = stats.screen.hidden  # their means enter no equation, how their cells vary together does
    cells = stats.counts[used | hidden].sum()
    used = used & ~hidden
    within_ff = stats.ff[groups].sum(axis=0) / cells
    untouched = np.maximum(stats.untouched[groups].sum(axis=0), 1)
    within_fy = stats.fy[groups].sum(axis=0) / untouched
    within_yy = stats.yy[groups].sum(axis=0) / untouched

    weight = perturbation_weights(stats.rows, used)
    centre_f, centre_y = weight @ stats.f, weight @ stats.y
    f, y = stats.f - centre_f, stats.y - centre_y
    left = weight[:, None] * stats.free  # (perturbations, targets)
    share = left.sum(axis=0)
    safe = np.maximum(share, 1e-12)
    targeted = stats.screen.targets & used[:, None]
    perturbed = np.flatnonzero(targeted.any(axis=0))
    # Over all perturbations the centred features have mean 0: only for targets of some of them it is another.
    moved = (left[:, perturbed].T @ f) / safe[perturbed, None]
    mean_y = (left * y).sum(axis=0) / safe
    between = (f * weight[:, None]).T @ f
    cross = f.T @ (left * y)
    cross[:, perturbed] -= (moved * (share * mean_y)[perturbed, None]).T
    scale_f = np.sqrt(np.diag(between) + np.diag(within_ff))
    scale_y = np.sqrt(np.maximum((left * y**2).sum(axis=0) / safe - mean_y**2, 0) + within_yy)
    scale_f, scale_y = (np.where(s > 1e-8, s, np.inf) for s in (scale_f, scale_y))
    row = np.full(len(share), -1)
    row[perturbed] = np.arange(len(perturbed))
    within_ff *= covariation
    within_ff += between
    within_fy *= covariation
    within_fy += cross
    return Problem(
        sources=stats.sources,
        gram=_divided(within_ff, scale_f, scale_f),
        cross=_divided(within_fy, scale_f, scale_y),
        row=row,
        downdate=_downdate(f, weight, targeted[:, perturbed], moved, share[perturbed]) / scale_f[:, None],
        share=share,
        scale_f=scale_f,
        scale_y=scale_y,
        centre_f=centre_f,
        moved=moved,
        mean_y=mean_y + centre_y,
    )


def _divided(matrix: Floats, rows: Floats, columns: Floats) -> Floats:
    """Return the matrix over the outer product of two scales, in place."""
    matrix /= rows[:, None]
    matrix /= columns
    return matrix


def _downdate(
    f: Floats, weight: Floats, targeted: NDArray[np.bool_], mean_f: Floats, share: Floats
) -> NDArray[np.float64]:
    """Return V (targets, p, k): perturbations that target the gene, and the centring over those that do not."""
    most = int(targeted.sum(axis=0).max(initial=0))
    out = np.zeros((targeted.shape[1], f.shape[1], most + 1))
    for t in range(targeted.shape[1]):
        rows = np.flatnonzero(targeted[:, t])
        out[t, :, : len(rows)] = (f[rows] * np.sqrt(weight[rows])[:, None]).T
        out[t, :, most] = np.sqrt(share[t]) * mean_f[t]
    return out


def solve_problem(
    problem: Problem,
    lambdas: Sequence[float],
    *,
    nonnegative: bool = False,
    penalty: Floats | None = None,
    allowed: NDArray[np.bool_] | None = None,
    mcp: float | None = None,
    start: Floats | None = None,
    empty_from: Floats | None = None,
) -> Floats:
    """Return standardised coefficients (lambdas, p, targets), (regulator, target), without self edges.

    Targets whose coefficients are all zero at the smallest lambda are not solved for; `empty_from` is what the method of
    that name returns for this penalty and sign, where it is at hand.
    """
    usable = problem.usable if allowed is None else problem.usable & allowed
    levels = np.asarray(lambdas)[:, None] * np.maximum(problem.share, 1e-12)
    empty_from = problem.empty_from(penalty, nonnegative=nonnegative) if empty_from is None else empty_from
    reached = empty_from >= lambdas[-1]
    if start is not None:
        reached |= (start != 0).any(axis=0)
    found: Floats = np.zeros((len(levels), *problem.cross.shape[::-1]))  # a target's coefficients lie side by side
    for at in (np.flatnonzero(reached & (problem.row >= 0)), np.flatnonzero(reached & (problem.row < 0))):
        if not len(at):
            continue
        perturbed = bool(problem.row[at[0]] >= 0)
        path = l1_path(
            problem.gram,
            problem.cross[:, at],
            levels[:, at],
            penalty=None if penalty is None else penalty[:, at],
            allowed=usable[:, at],
            nonnegative=nonnegative,
            downdate=problem.downdate[problem.row[at]] if perturbed else None,
            mcp=mcp,
            start=None if start is None else start[:, at],
            tol=TOLERANCE,
        )
        found[:, at] = path.swapaxes(1, 2)
    return found.swapaxes(1, 2)
