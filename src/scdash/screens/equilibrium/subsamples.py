"""Refits of a screen by regression: on halves of its perturbations, and on resampled cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.parallel import spread_all
from scdash._data.screen import Screen
from scdash.resampling.draws import drawn_within, stratified_part
from scdash.resampling.stability import Selections
from scdash.screens.equilibrium.fit import EquilibriumFit
from scdash.screens.equilibrium.path import NO_PENALTIES, Penalties, Settings, ranking_path, solve
from scdash.screens.evidence import without_noise
from scdash.screens.network import finished
from scdash.screens.statistics import Floats, PerturbationStatistics, perturbation_statistics, replicate_units
from scdash.screens.times.responses import again_over_times

Selection = tuple[NDArray[np.bool_], Floats]
"""Edges of one refit (source, gene): selected or not, and the path score."""


@dataclass(frozen=True)
class Resampled:
    """Cells drawn with replacement within their perturbations: row i of the data is row `rows[i]` of `cells`."""

    cells: Any
    rows: NDArray[np.int64]

    def __getitem__(self, at: Any) -> NDArray[Any]:
        # sorted, unique rows: data on disk are read in order, and no cell twice
        wanted, inverse = np.unique(self.rows[at], return_inverse=True)
        block: NDArray[Any] = self.cells[wanted]
        return block[inverse]


@dataclass(frozen=True)
class Chosen:
    """What a fit has chosen and a refit keeps; see `EquilibriumFit`."""

    settings: Settings
    lam: float
    believed: bool
    explained: float


def chosen_of(fit: EquilibriumFit) -> Chosen:
    """Return what a fit has chosen."""
    return Chosen(fit.settings, fit.lam, fit.believed, fit.explained)


def select(
    stats: PerturbationStatistics, used: NDArray[np.bool_], chosen: Chosen, penalties: Penalties = NO_PENALTIES
) -> Selection:
    """Refit on the `used` perturbations with what was chosen before: the edges of the network, and their ranking scores."""
    at = int(np.argmin(np.abs(np.log(np.asarray(chosen.settings.lambdas) / chosen.lam))))
    problem, path = solve(stats, used, chosen.settings, given=penalties)
    found = finished(stats, used, problem, path[at], penalties, believed=chosen.believed)
    path = ranking_path(stats, used, problem, path, chosen.settings, penalties, believed=chosen.believed)
    return found.model.weights != 0, found.ranking(path, chosen.explained, penalties.odds)[0]


def half_of_perturbations(n_perturbations: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a random half of the perturbations (mask), the control always."""
    used = np.zeros(n_perturbations, bool)
    used[0] = True
    others = np.zeros(n_perturbations - 1, np.int64)
    used[1 + stratified_part(others, lambda n: max(1, n // 2), rng)] = True
    return used


def bootstrap_rows(screen: Screen, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for every cell a random cell of its own perturbation, and replicate, with replacement; cells left out stay."""
    rows = np.arange(len(screen.cells))
    unit, perturbation_of = replicate_units(screen)
    units = [np.flatnonzero(unit == u) for u in range(len(perturbation_of))]
    for of, drawn in zip(units, drawn_within(units, lambda n: n, rng, replace=True), strict=True):
        rows[of] = drawn
    return rows


def selections(
    stats: PerturbationStatistics,
    chosen: Chosen,
    n: int,
    rng: np.random.Generator,
    penalties: Penalties = NO_PENALTIES,
    *,
    cells: Any = None,
    n_jobs: int | None = None,
) -> Selections:
    """Refit `n` times: on halves of the perturbations, or on bootstraps of `cells` within each (Lin et al., appendix A.13).

    `stats` have the noise of features taken off for halves (`without_noise`), and not for bootstraps, which do it anew.
    """
    if cells is None:
        halves = [half_of_perturbations(stats.screen.n_perturbations, rng) for _ in range(n)]
        return stacked(
            spread_all(select, [(stats, used, chosen, penalties) for used in halves], "refits", n_jobs=n_jobs)
        )
    pieces = [(cells, stats, chosen, penalties, bootstrap_rows(stats.screen, rng)) for _ in range(n)]
    return stacked(spread_all(_bootstrapped, pieces, "refits", n_jobs=n_jobs))


def stacked(found: Sequence[Selection]) -> Selections:
    """Return the selections of several refits together."""
    return Selections(np.stack([selected for selected, _ in found]), np.stack([score for _, score in found]))


def _bootstrapped(
    cells: Any,
    stats: PerturbationStatistics,
    chosen: Chosen,
    penalties: Penalties,
    rows: NDArray[np.int64],
) -> Selection:
    again = perturbation_statistics(
        Resampled(cells, rows), stats.screen, stats.fold, slope=stats.slope, sources=stats.sources
    )
    return select(
        without_noise(again_over_times(again, stats)), np.ones(stats.screen.n_perturbations, bool), chosen, penalties
    )
