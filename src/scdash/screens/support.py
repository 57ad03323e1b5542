"""Edges that a source's own perturbation shows and a network does not explain, added one after the other."""

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, norm

from scdash.screens.evidence import evidence, with_odds
from scdash.screens.statistics import Floats, PerturbationStatistics

FALSE_DISCOVERIES = 0.05  # rate among all pairs of a perturbed source and a gene
RIDGE = 0.01  # of least squares, relative to the information of each regulator
MOST_ADDED = 15  # edges that a target may get


def with_shown_edges(
    stats: PerturbationStatistics,
    used: NDArray[np.bool_],
    weights: Floats,
    *,
    allowed: NDArray[np.bool_] | None = None,
    odds: Floats | None = None,
) -> Floats:
    """Return weights (regulator, target) with the edges that own perturbations show.

    Candidates are pairs of a perturbed source and a gene whose `direct_z` passes a false discovery rate of 5 %
    (Benjamini-Hochberg; a prior counts as in `with_odds`). For every target the strongest candidate is added and all its
    weights are fitted anew by least squares over the perturbations that leave it alone; what that leaves of the others is
    looked at again (orthogonal matching pursuit), so that an effect which passes through another regulator is not added.
    """
    found = evidence(stats, used, weights, _constants(stats, used, weights))
    tested = found.direct_z != 0
    if allowed is not None:
        tested &= allowed
    size = with_odds(found.direct_z, odds)
    chosen = discovered(size, tested)
    least = size[chosen].min() if chosen.any() else np.inf
    rows, precision = stats.measured(used), found.precision
    f, y = stats.f[rows], stats.y[rows]
    own = np.where(stats.own[rows], f, 0.0)
    result: Floats = weights.copy()
    for target in np.flatnonzero(chosen.any(axis=0) | (weights != 0).any(axis=0)):
        known = [int(j) for j in np.flatnonzero(weights[:, target])]
        candidates = [int(j) for j in np.flatnonzero(chosen[:, target]) if weights[j, target] == 0]
        sources, values = _pursue(f, own, y[:, target], precision[:, target], known, candidates, least)
        result[:, target] = 0.0
        result[sources, target] = values
    return result


def discovered(size: Floats, tested: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return which of the tested pairs pass a false discovery rate of 5 %, by the sizes of their z values."""
    found = np.zeros(tested.shape, bool)
    if tested.any():
        found[tested] = false_discovery_control(2 * norm.sf(size[tested])) <= FALSE_DISCOVERIES
    return found


def _pursue(
    f: Floats, own: Floats, y: Floats, precision: Floats, sources: list[int], candidates: list[int], least: float
) -> tuple[list[int], Floats]:
    """Return the regulators of one target and their weights."""
    values, left = _fit(f, y, precision, sources)
    while candidates and len(sources) < MOST_ADDED:
        moved = own[:, candidates]
        information = (moved**2).T @ precision
        z = (moved.T @ (left * precision)) / np.sqrt(np.maximum(information, 1e-300))
        best = int(np.abs(z).argmax())
        if abs(z[best]) < least:
            break
        sources.append(candidates.pop(best))
        values, left = _fit(f, y, precision, sources)
    return sources, values


def _fit(f: Floats, y: Floats, precision: Floats, sources: list[int]) -> tuple[Floats, Floats]:
    """Return weights of least squares beside a constant, and what they leave of y in every perturbation."""
    total = max(float(precision.sum()), 1e-300)
    centred = y - (precision @ y) / total
    x = f[:, sources] - (precision @ f[:, sources]) / total
    gram = (x.T * precision) @ x
    gram += np.diag(RIDGE * np.diag(gram) + 1e-12)
    values: Floats = np.linalg.solve(gram, (x.T * precision) @ centred)
    return values, centred - x @ values


def _constants(stats: PerturbationStatistics, used: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the mean (genes,) of what a network leaves of a gene over the perturbations that leave it alone."""
    count = stats.free * stats.measured(used)[:, None]
    mean: Floats = ((stats.y - stats.f @ weights) * count).sum(axis=0) / np.maximum(count.sum(axis=0), 1)
    return mean
