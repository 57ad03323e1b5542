"""The network of a screen: a point of the path, corrected by what own perturbations show and it does not explain, and stable."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.stats import false_discovery_control, norm

from scdash.screens.equilibrium.equations import Problem
from scdash.screens.equilibrium.path import NO_PENALTIES, Penalties, to_equations
from scdash.screens.equilibrium.stable import stabilised
from scdash.screens.equilibrium.steady_states import Equilibrium
from scdash.screens.evidence import Evidence, evidence, evidence_of_others, ranking_score, with_odds
from scdash.screens.held_out import intervention_effects
from scdash.screens.statistics import Floats, PerturbationStatistics

SEEN = 2.0  # standard errors from which an own perturbation shows an edge
FALSE_DISCOVERIES = 0.05  # rate among all pairs of a perturbed source and a gene
RIDGE = 0.01  # of least squares, relative to the information of each regulator
MOST_ADDED = 15  # edges that a target may get


@dataclass(frozen=True)
class ScreenNetwork:
    """A network with the evidence beside it; matrices are (regulator, target), regulators are the sources of `stats`."""

    model: Equilibrium
    stats: PerturbationStatistics
    used: NDArray[np.bool_]
    fitted: Floats  # (genes,), constants with which the equations are right in the mean of the perturbations

    @cached_property
    def evidence(self) -> Evidence:
        """What own perturbations say beside the network."""
        return evidence(self.stats, self.used, self.model.weights, self.fitted)

    def ranking(self, path: Floats, explained: float, odds: Floats | None = None) -> tuple[Floats, Floats]:
        """Return the scores that rank edges, see `ranking_score`, and the fraction of the path that has each edge."""
        frequency = np.asarray((path != 0).mean(axis=0))
        others = None
        if (explained > 0 or odds is not None) and not self.evidence.perturbed.all():
            others = evidence_of_others(self.stats, self.used, self.model.weights, self.fitted)
        weights, total = self.model.weights, path.sum(axis=0)
        return ranking_score(self.evidence, others, weights, total, frequency, explained, odds), frequency


def finished(
    stats: PerturbationStatistics,
    used: NDArray[np.bool_],
    problem: Problem,
    standardised: Floats,
    given: Penalties = NO_PENALTIES,
    *,
    believed: bool = True,
) -> ScreenNetwork:
    """Return the network of some coefficients of the path, corrected by the evidence.

    Edges of perturbed sources stay where the own perturbation shows them. Where the path is `believed`, because its network
    predicts held-out perturbations from the intervention alone, edges of sources that were never perturbed stay as well;
    otherwise edges come that own perturbations show beside those of the path. Unstable loops are weakened.
    """
    weights, constant = to_equations(standardised, problem)
    found = evidence(stats, used, weights, constant)
    untested = ~found.perturbed[:, None] if believed else np.zeros((len(weights), 1), bool)
    kept = np.where(shown(found, given.odds) | untested, weights, 0.0)
    if not believed:
        kept = with_shown_edges(stats, used, kept, given)
    kept[:, stats.sources] = stabilised(kept[:, stats.sources], stats.slope)
    fitted = problem.constants(kept)
    constant = fitted if believed else resting(stats, used, kept)
    effect = intervention_effects(stats, used, kept, constant)
    return ScreenNetwork(Equilibrium(kept, constant, effect, stats.slope, sources=stats.sources), stats, used, fitted)


def resting(stats: PerturbationStatistics, used: NDArray[np.bool_], weights: Floats) -> Floats:
    """Return the constants (genes,) with which genes are at rest where they are in perturbations of other sources.

    A weight that was read from a small change of its source is large, and would turn the noise of a source that nobody
    perturbs into a change of its targets. At these constants such sources contribute nothing.
    """
    rows = stats.measured(used)
    own = np.where(stats.own[rows], stats.f[rows], 0.0)
    free = stats.free[rows]
    mean = ((stats.y[rows] - own @ weights) * free).sum(axis=0) / np.maximum(free.sum(axis=0), 1)
    found: Floats = mean - stats.activation(mean[stats.sources]) @ weights
    return found


def shown(found: Evidence, odds: Floats | None = None) -> NDArray[np.bool_]:
    """Return which edges (regulator, target) the own perturbation of their source shows, prior `odds` considered."""
    return np.asarray(found.perturbed[:, None] & (with_odds(found.direct_z, odds) > SEEN))


def with_shown_edges(
    stats: PerturbationStatistics, used: NDArray[np.bool_], weights: Floats, given: Penalties = NO_PENALTIES
) -> Floats:
    """Return weights (regulator, target) with the edges that own perturbations show.

    Candidates are pairs of a perturbed source and a gene whose `direct_z` passes a false discovery rate of 5 %
    (Benjamini-Hochberg; a prior counts as in `with_odds`). For every target the strongest candidate is added and all its
    weights are fitted anew by least squares over the perturbations that leave it alone; what that leaves of the others is
    looked at again (orthogonal matching pursuit), so that an effect which passes through another regulator is not added.
    """
    found = evidence(stats, used, weights, _constants(stats, used, weights))
    tested = found.direct_z != 0
    if given.allowed is not None:
        tested &= given.allowed
    size = with_odds(found.direct_z, given.odds)
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
