"""The statistics of a screen that is fitted: its perturbations dealt into folds, what looks wrong in the data warned of."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash.screens.inputs import ScreenInputs
from scdash.screens.selection import sources_of
from scdash.screens.statistics import PerturbationStatistics, assign_folds, perturbation_statistics
from scdash.screens.times.responses import control_at_times, over_times


def fitted_statistics(
    inputs: ScreenInputs, way: str, rule: str, n_folds: int, rng: np.random.Generator
) -> PerturbationStatistics:
    """Return the statistics that a fit needs; `way` and `rule` are `fit` and `sources` of `scdash.models.PerturbODE`."""
    sources = np.array([], dtype=np.int64)  # training by transport needs no features
    if way == "equilibrium":
        sources = sources_of(inputs.screen, inputs.regulators, rule)
    return screen_statistics(inputs, n_folds, rng, sources=sources)


def screen_statistics(
    inputs: ScreenInputs,
    n_folds: int,
    rng: np.random.Generator,
    *,
    slope: float | None = 1.0,
    sources: NDArray[np.int64] | None = None,
) -> PerturbationStatistics:
    """Return the statistics of a screen with its perturbations dealt into folds; `sources` as in `perturbation_statistics`.

    Genes that never vary, and targets that moved against the kind of their perturbation, are warned of.
    """
    fold = assign_folds(inputs.screen, n_folds, rng)
    stats = perturbation_statistics(inputs.cells, inputs.screen, fold, slope=slope, sources=sources)
    stats = replace(stats, lowest=np.maximum(stats.lowest, inputs.floor))
    if inputs.times is not None:
        control = control_at_times(inputs.values, inputs.whole, inputs.times)
        stats = over_times(stats, inputs.times, control)
    warn_of_contradicted_kinds(stats)
    flat = (stats.within_sd <= 0) & (np.ptp(stats.y, axis=0) <= 0)
    if flat.any():
        shown = ", ".join(str(g) for g in pd.Index(inputs.values.genes)[flat][:5])
        logger.warning("%d gene(s) never vary and get no edges: %s", flat.sum(), shown)
    return stats


LARGE_Z = 3.0  # standard errors of the difference of two means from which a target is said to have moved
SHOWN = 5
UP = ("overexpression", "shift")


def contradicted(stats: PerturbationStatistics) -> list[tuple[str, str, str, float, float]]:
    """Return (perturbation, kind, target, change, z) where a target moved clearly against its kind, strongest first.

    A target should rise under overexpression and fall under knockout and knockdown. z is its change over the standard
    error of the difference between the means of the perturbation and the control.
    """
    counts = np.maximum(stats.counts, 1)
    error = stats.noise_sd[None, :] * np.sqrt(1 / counts + 1 / counts[0])[:, None]
    z = np.divide(stats.y, error, out=np.zeros_like(stats.y), where=error > 0)
    wanted = np.where(np.isin(stats.screen.kinds, UP), 1.0, -1.0)[:, None]
    rows, genes = np.nonzero(stats.screen.targets & (z * wanted < -LARGE_Z))
    found = [
        (
            stats.screen.names[r],
            stats.screen.kinds[r],
            str(stats.screen.genes[int(g)]),
            float(stats.y[r, g]),
            float(z[r, g]),
        )
        for r, g in zip(rows, genes, strict=True)
    ]
    return sorted(found, key=lambda one: -abs(one[4]))


def warn_of_contradicted_kinds(stats: PerturbationStatistics) -> None:
    """Log a warning that names the perturbations whose targets moved clearly against their kind, with numbers."""
    found = contradicted(stats)
    if not found:
        return
    against = len({name for name, *_ in found})
    tested = int(stats.screen.targets.any(axis=1).sum())
    listed = "; ".join(
        f"{name} ({kind}): {gene} {change:+.2f} from control, z {z:+.1f}"
        for name, kind, gene, change, z in found[:SHOWN]
    )
    logger.warning(
        "    WARNING: a target moved against the kind of its perturbation in %d of %d perturbations: %s%s.%s Check kind, the labels "
        "and the control, or leave these out (scdash.pp.filter_perturbations).",
        against,
        tested,
        listed,
        "; ..." if len(found) > SHOWN else "",
        _other_kind(found) if against == tested else "",
    )


def _other_kind(found: list[tuple[str, str, str, float, float]]) -> str:
    """Return the kind that fits where every perturbation moved its target against its own; "" where they moved both ways."""
    rose = {change > 0 for _, _, _, change, _ in found}
    if rose == {True}:
        return " All of them rose: PerturbODE(kind='overexpression'), or 'shift'?"
    return " All of them fell: PerturbODE(kind='knockout'), or 'knockdown'?" if rose == {False} else ""
