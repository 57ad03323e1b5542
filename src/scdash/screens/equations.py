"""Equilibrium matching: the network of a screen as one sparse regression per gene on Hill features."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scdash.matching._l1 import l1_path
from scdash.screens.statistics import Floats, RegimeStatistics

TRUSTS: tuple[float, ...] = (1.0, 0.3, 0.1, 0.03)


@dataclass(frozen=True)
class Problem:
    """Gram form of the regressions of all genes, standardised, for one set of regimes and one trust."""

    gram: Floats  # (p, p)
    cross: Floats  # (p, targets)
    downdate: Floats  # (targets, p, k)
    share: Floats  # (targets,), weight of the regimes that leave the target alone
    scale_f: Floats  # (p,)
    scale_y: Floats  # (targets,)
    mean_f: Floats  # (targets, p), weighted mean feature over the regimes that leave the target alone
    mean_y: Floats  # (targets,)


def regime_weights(counts: NDArray[np.int64], used: NDArray[np.bool_]) -> Floats:
    """Return weights n / (n + median n), normalised: means of more cells count more, but a huge control not hugely."""
    typical = np.median(counts[used])
    weight: Floats = np.where(used, counts / (counts + typical), 0.0)
    weight /= weight.sum()
    return weight


def build_problem(stats: RegimeStatistics, used: NDArray[np.bool_], trust: float) -> Problem:
    r"""Return the Gram form over the `used` regimes (mask; the control included).

    Per target t, over the regimes that do not target it::

        minimise over s, c  sum_r w_r (y_rt - c - s . f_r)^2 + trust * mean over cells ((y - y_r) - s . (f - f_r))^2

    The means enter exactly. Within regimes f'f is pooled over all used regimes (it hardly depends on leaving a few
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

    weight = regime_weights(stats.counts, used)
    centre_f, centre_y = weight @ stats.f, weight @ stats.y
    f, y = stats.f - centre_f, stats.y - centre_y
    left = weight[:, None] * stats.free  # (regimes, targets)
    share = left.sum(axis=0)
    safe = np.maximum(share, 1e-12)
    mean_f, mean_y = (left.T @ f) / safe[:, None], (left * y).sum(axis=0) / safe
    between = (f * weight[:, None]).T @ f
    cross = f.T @ (left * y) - (mean_f * (share * mean_y)[:, None]).T
    scale_f = np.sqrt(np.diag(between) + np.diag(within_ff))
    scale_y = np.sqrt(np.maximum((left * y**2).sum(axis=0) / safe - mean_y**2, 0) + within_yy)
    scale_f, scale_y = (np.where(s > 1e-8, s, np.inf) for s in (scale_f, scale_y))
    return Problem(
        gram=(between + trust * within_ff) / np.outer(scale_f, scale_f),
        cross=(cross + trust * within_fy) / np.outer(scale_f, scale_y),
        downdate=_downdate(f, weight, stats.screen.targets & used[:, None], mean_f, share) / scale_f[:, None],
        share=share,
        scale_f=scale_f,
        scale_y=scale_y,
        mean_f=mean_f + centre_f,
        mean_y=mean_y + centre_y,
    )


def _downdate(
    f: Floats, weight: Floats, targeted: NDArray[np.bool_], mean_f: Floats, share: Floats
) -> NDArray[np.float64]:
    """Return V (targets, p, k): regimes that target the gene, and the centring over those that do not."""
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
) -> Floats:
    """Return standardised coefficients (lambdas, p, targets), (regulator, target), without self edges."""
    p = len(problem.gram)
    usable = ~np.eye(p, dtype=bool) if allowed is None else allowed & ~np.eye(p, dtype=bool)
    usable = usable & np.isfinite(problem.scale_f)[:, None] & (np.isfinite(problem.scale_y) & (problem.share > 0))
    levels = np.asarray(lambdas)[:, None] * np.maximum(problem.share, 1e-12)
    return l1_path(
        problem.gram,
        problem.cross,
        levels,
        penalty=penalty,
        allowed=usable,
        nonnegative=nonnegative,
        downdate=problem.downdate,
        mcp=mcp,
        start=start,
        tol=1e-5,
    )
