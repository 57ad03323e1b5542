"""The statistics of a screen that is fitted: its perturbations dealt into folds, what looks wrong in the data warned of."""

from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._core.logging import logger
from scdash.screens.contradictions import warn_of_contradicted_kinds
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
