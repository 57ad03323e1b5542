"""The network of a screen: a point of the path, corrected by what each source's own perturbation says, and stable."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from scdash.screens.equilibrium.equations import Problem
from scdash.screens.equilibrium.path import to_equations
from scdash.screens.equilibrium.stable import stabilised
from scdash.screens.equilibrium.steady_states import Equilibrium
from scdash.screens.evidence import Evidence, evidence, evidence_of_others, ranking_score, with_odds
from scdash.screens.held_out import intervention_effects
from scdash.screens.statistics import Floats, PerturbationStatistics
from scdash.screens.support import with_shown_edges

SEEN = 2.0  # standard errors from which an own perturbation shows an edge


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
    *,
    allowed: NDArray[np.bool_] | None = None,
    odds: Floats | None = None,
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
    kept = np.where(shown(found, odds) | untested, weights, 0.0)
    if not believed:
        kept = with_shown_edges(stats, used, kept, allowed=allowed, odds=odds)
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
