"""How often a screen's edges are selected again: on halves of its perturbations, and on resampled cells."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from scdash._core.parallel import spread_all
from scdash._data.screen import Screen
from scdash.screens.equilibrium.fit import EquilibriumFit
from scdash.screens.equilibrium.path import Settings, solve
from scdash.screens.evidence import without_noise
from scdash.screens.network import finished
from scdash.screens.statistics import Floats, PerturbationStatistics, perturbation_statistics, replicate_units
from scdash.screens.times.responses import again_over_times


@dataclass(frozen=True)
class Penalties:
    """What a prior and the choice of regulators do to a fit: factors of lambda, and edges that may exist."""

    factor: Floats | None = None  # (regulator, target)
    allowed: NDArray[np.bool_] | None = None  # (regulator, target)
    odds: Floats | None = None  # (regulator, target), of edges of the prior beside others


@dataclass(frozen=True)
class Selection:
    """Edges of one refit (source, gene): selected or not, and the path score."""

    selected: NDArray[np.bool_]
    score: Floats


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
    stats: PerturbationStatistics, used: NDArray[np.bool_], chosen: Chosen, penalties: Penalties = Penalties()
) -> Selection:
    """Refit on the `used` perturbations with what was chosen before: the edges of the network, and their ranking scores."""
    at = int(np.argmin(np.abs(np.log(np.asarray(chosen.settings.lambdas) / chosen.lam))))
    problem, path = solve(stats, used, chosen.settings, penalty=penalties.factor, allowed=penalties.allowed)
    found = finished(
        stats, used, problem, path[at], allowed=penalties.allowed, odds=penalties.odds, believed=chosen.believed
    )
    return Selection(found.model.weights != 0, found.ranking(path, chosen.explained, penalties.odds)[0])


def half_of_perturbations(n_perturbations: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return a random half of the perturbations (mask), the control always."""
    used = np.zeros(n_perturbations, bool)
    used[0] = True
    others = rng.permutation(np.arange(1, n_perturbations))
    used[others[: max(1, len(others) // 2)]] = True
    return used


def bootstrap_rows(screen: Screen, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return for every cell a random cell of its own perturbation, and replicate, with replacement; cells left out stay."""
    rows = np.arange(len(screen.cells))
    unit, perturbation_of = replicate_units(screen)
    for u in range(len(perturbation_of)):
        of = np.flatnonzero(unit == u)
        rows[of] = rng.choice(of, len(of)) if len(of) else of
    return rows


def perturbation_selections(
    stats: PerturbationStatistics,
    chosen: Chosen,
    n: int,
    rng: np.random.Generator,
    penalties: Penalties = Penalties(),
    *,
    n_jobs: int | None = None,
) -> list[Selection]:
    """Refit on `n` random halves of the perturbations."""
    halves = [half_of_perturbations(stats.screen.n_perturbations, rng) for _ in range(n)]
    pieces = [(stats, used, chosen, penalties) for used in halves]
    return spread_all(select, pieces, "refits", n_jobs=n_jobs)


def cell_selections(
    cells: Any,
    stats: PerturbationStatistics,
    chosen: Chosen,
    n: int,
    rng: np.random.Generator,
    penalties: Penalties = Penalties(),
    *,
    n_jobs: int | None = None,
) -> list[Selection]:
    """Refit on `n` bootstraps of the cells within perturbations (Lin et al., appendix A.13)."""
    pieces = [(cells, stats, chosen, penalties, bootstrap_rows(stats.screen, rng)) for _ in range(n)]
    return spread_all(_bootstrapped, pieces, "refits", n_jobs=n_jobs)


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


def frequencies(found: Sequence[Selection]) -> tuple[Floats, Floats, Floats]:
    """Return selection frequency, mean and SD of the path score over refits, each (regulator, target)."""
    scores = np.stack([one.score for one in found])
    return np.mean([one.selected for one in found], axis=0), scores.mean(axis=0), scores.std(axis=0)
