"""What each source's own perturbation says of its edges, and how it enters the ranking of edges."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from scdash.screens.statistics import Floats, PerturbationStatistics, sigmoid_feature

PRIOR_ROWS = 10.0  # rows for which the typical noise of all genes counts beside a gene's own
FURTHEST = 10.0  # largest factor of the penalty of a source that its own perturbation hardly moved
LEAST_WEIGHT = 0.1  # of an edge that no network of the path has, beside one that all have
NOISE_PART = 9.0  # squared standard errors that are taken from a squared change: noise exceeds them once in 370 times
MAD_TO_VARIANCE = 0.455  # median of a squared standard normal variable
HIDDEN_CHANGE = 1e-6  # feature of a target whose change is not visible, beside 0.5 of one that is switched off
OFFSET = 0.03  # of the path score, so that edges outside the path keep an order


@dataclass(frozen=True)
class Evidence:
    """What the perturbations say of every edge, all (regulator, target), and 0 where there is nothing to say.

    `total` is the change of the target per unit of the regulator's feature where the regulator was perturbed and the target
    was not, `total_z` its ratio to its standard error. `direct_z` is the same of what the other regulators of a network
    leave unexplained. `precision` is the weight of a perturbation for a gene there: 1 / variance, 0 for a target.
    """

    perturbed: NDArray[np.bool_]  # (sources,)
    total: Floats
    total_z: Floats
    direct_z: Floats
    precision: Floats  # (perturbations used, genes)


def standard_errors(stats: PerturbationStatistics) -> Floats:
    """Return the standard errors (perturbations, genes) of the changes from the control.

    Where the noise of a gene is known from a few rows only, the typical noise of all genes counts for `PRIOR_ROWS` more
    (as in moderated t-tests, Smyth 2004, without the degrees of freedom estimated).
    """
    noise = stats.noise_sd
    rows = float(stats.counts.sum())
    shrunken = np.sqrt((PRIOR_ROWS * np.median(noise) ** 2 + rows * noise**2) / (PRIOR_ROWS + rows))
    size = 1 / np.maximum(stats.rows, 1) + (1 / stats.rows[0] if stats.counts[0] else 0.0)
    errors: Floats = shrunken[None, :] * np.sqrt(size)[:, None]
    return np.maximum(errors, 1e-9)


def without_noise(stats: PerturbationStatistics) -> PerturbationStatistics:
    """Return the statistics with features of changes that exceed their noise; targets keep theirs.

    A change y with standard error s becomes y max(0, 1 - 9 s^2 / y^2), the positive part of the James-Stein estimate. Noise
    that is shared by two genes would otherwise join them by an edge.
    """
    y = stats.y
    kept = np.maximum(0.0, 1 - NOISE_PART * standard_errors(stats) ** 2 / np.maximum(y**2, 1e-300))
    quiet = np.where(stats.screen.targets, y, y * kept)
    return replace(stats, f=sigmoid_feature(quiet[:, stats.sources], stats.slope))


def range_penalty(stats: PerturbationStatistics) -> Floats:
    """Return factors of lambda (sources,) of sources that perturbations of other genes moved further than their own did.

    What such a source does that far away was not tested by its own perturbation, and genes that answer the same
    perturbation as it would become its targets. 1 for sources that are never perturbed: nothing tests those.
    """
    size = np.abs(stats.f)
    own = np.where(stats.own, size, 0.0).max(axis=0)
    others = np.where(stats.own, 0.0, size).max(axis=0)
    factor = np.clip(others / np.maximum(own, 1e-12), 1.0, FURTHEST)
    return np.where(stats.own.any(axis=0), factor, 1.0)


def evidence(stats: PerturbationStatistics, used: NDArray[np.bool_], weights: Floats, constant: Floats) -> Evidence:
    """Return what the `used` perturbations (mask) say of all edges beside a network `weights` (regulator, target).

    The noise of a gene is the larger of its sampling error and of what the network leaves of it in the typical
    perturbation, so that perturbations of many genes at once, whose effects mix, count as noisy.
    """
    rows = stats.measured(used)
    perturbed = np.asarray(stats.own[rows].any(axis=0))
    own = _own_features(stats, rows)[:, perturbed]
    left, weight, bare = _unexplained(stats, rows, weights, constant)
    information = (own**2).T @ bare
    with np.errstate(divide="ignore", invalid="ignore"):
        total = np.where(information > 0, (own.T @ (stats.y[rows] * bare)) / information, 0.0)
    found = Evidence(
        perturbed=perturbed,
        total=_among_all(total, perturbed),
        total_z=_among_all(total * np.sqrt(information), perturbed),
        direct_z=_among_all(_conditional(own, left, weight, weights[perturbed]), perturbed),
        precision=weight,
    )
    found.direct_z[stats.edges_to_self] = 0.0
    return found


def evidence_of_others(
    stats: PerturbationStatistics, used: NDArray[np.bool_], weights: Floats, constant: Floats
) -> Floats:
    """Return what stands for `direct_z` of sources that were never perturbed, (unperturbed sources, genes).

    That is the same ratio where the source was moved by perturbations of other genes.
    """
    rows = stats.measured(used)
    untested = ~np.asarray(stats.own[rows].any(axis=0))
    left, weight, _ = _unexplained(stats, rows, weights, constant)
    return _conditional(stats.f[rows][:, untested], left, weight, weights[untested])


def _unexplained(
    stats: PerturbationStatistics, rows: NDArray[np.bool_], weights: Floats, constant: Floats
) -> tuple[Floats, Floats, Floats]:
    """Return what a network leaves of the genes in some perturbations, its weight, and its weight without the network."""
    free, errors = stats.free[rows].astype(float), standard_errors(stats)[rows]
    left = (stats.y[rows] - constant - stats.f[rows] @ weights) * free
    return left, free / (errors**2 * _overdispersion(left, free, errors)), free / errors**2


def _own_features(stats: PerturbationStatistics, rows: NDArray[np.bool_]) -> Floats:
    """Return the features (perturbations, sources) of the targets of every perturbation, 0 for all other genes.

    A target that shows no change at all, such as a gene that dropout hides in the control too, was perturbed all the same. It
    counts as moved a little in the direction of the declared kind: a z value does not depend on how far.
    """
    kinds = np.asarray(stats.screen.kinds)[rows]
    declared = np.where(np.isin(kinds, ("knockout", "knockdown")), -HIDDEN_CHANGE, HIDDEN_CHANGE)
    moved = np.where(stats.f[rows] != 0, stats.f[rows], declared[:, None])
    return np.where(stats.own[rows], moved, 0.0)


def _among_all(values: Floats, perturbed: NDArray[np.bool_]) -> Floats:
    """Return values (perturbed sources, genes) as (sources, genes), 0 for the others."""
    found = np.zeros((len(perturbed), values.shape[1]))
    found[perturbed] = values
    return found


def _conditional(features: Floats, left: Floats, weight: Floats, weights: Floats) -> Floats:
    """Return coefficients over their standard errors, of what a network leaves with the edge's own part put back."""
    information = (features**2).T @ weight
    root = np.sqrt(np.maximum(information, 1e-300))
    found: Floats = np.where(information > 0, (features.T @ (left * weight) + weights * information) / root, 0.0)
    return found


def _overdispersion(left: Floats, free: Floats, errors: Floats) -> Floats:
    """Return how many times its sampling variance a gene varies over perturbations beside the network, at least 1.

    From the median over perturbations, because true effects that the network lacks are few; for few perturbations the
    typical gene counts beside the gene itself.
    """
    perturbed = np.where(free > 0, left / errors, np.nan)[1:]
    known = np.isfinite(perturbed).sum(axis=0)
    squares = np.where(known > 0, np.nanmedian(np.where(known > 0, perturbed, 0.0) ** 2, axis=0), 1.0)
    ratio = squares / MAD_TO_VARIANCE
    moderated = (PRIOR_ROWS * np.median(ratio) + known * ratio) / (PRIOR_ROWS + known)
    return np.asarray(np.maximum(moderated, 1.0))


def with_odds(z: Floats, odds: Floats | None) -> Floats:
    """Return sizes of z values with a prior: sqrt(z^2 + 2 log odds), whose square is twice the logarithm of posterior odds."""
    size: Floats = np.abs(z)
    return size if odds is None else np.where(z != 0, np.sqrt(z**2 + 2 * np.log(odds)), 0.0)


def ranking_score(
    found: Evidence,
    others: Floats | None,
    weights: Floats,
    path: Floats,
    frequency: Floats,
    explained: float,
    odds: Floats | None = None,
) -> Floats:
    """Return signed scores (regulator, target) that rank edges: own perturbations, and the path as far as it predicts.

    `explained` is the R2 of the network of the path in held-out perturbations predicted from the intervention alone, r = 0
    where it is not believed. Edges of a perturbed source have |direct_z| (1 - r + p), with p the frequency of the
    edge along the path, or 1 for edges of the network `weights`; other edges r |z| p, with z of `others` (unperturbed
    sources, genes), see `evidence_of_others`; None, without a prior, where r is 0. Both to the power 1 - r/2,
    times the path score to the power r/2. Edges of a prior have their z as `with_odds` says, and those of sources that
    were never perturbed come before pairs about which nothing is known. So an edge that its source's own perturbation does
    not show comes late, an effect that the network explains through other genes comes after a direct one, and every pair
    of a perturbed source has a score.
    """
    r = float(np.clip(np.nan_to_num(explained), 0.0, 1.0))
    present = np.maximum(frequency, weights != 0)
    size = with_odds(found.direct_z, odds) * (max(1 - r, LEAST_WEIGHT) + present)
    sign, rest = np.sign(found.direct_z), ~found.perturbed
    size[rest] = 0.0
    if others is not None:
        believed = None if odds is None else odds[rest]
        size[rest] = r * with_odds(others, believed) * present[rest]
        if believed is not None:
            size[rest] += np.where(believed > 1, LEAST_WEIGHT * np.sqrt(2 * np.log(believed)), 0.0)
        sign[rest] = np.sign(np.where(path[rest] != 0, path[rest], others))
    strong = np.abs(path)
    unit = np.percentile(strong[strong > 0], 90) if (strong > 0).any() else 1.0
    score = size ** (1 - r / 2) * (strong / unit + OFFSET) ** (r / 2)
    signed: Floats = np.where(size > 0, np.where(sign == 0, 1.0, sign) * score, 0.0)
    return signed
