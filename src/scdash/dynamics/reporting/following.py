"""How well a model follows the mean trajectory of cells: R2 over the genes that change most along it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from scdash._data import TimeSeries
from scdash.dynamics.problem import FitProblem
from scdash.dynamics.whole_trajectories.folds import OTHER_HALF, TEST, Fold, lineage_codes
from scdash.training.rollouts import GeneWise, Trajectories, roll_out

Floats: TypeAlias = NDArray[np.floating[Any]]

STEPS = 4  # of the solver between two states
COLUMNS = ("lineage", "genes", "r2", "r2_median_gene", "r2_other_half", "r2_smoother")
TOP_GENES = 100  # genes with the largest variance along the mean trajectory


@dataclass(frozen=True)
class TrajectoryR2:
    """How much of the change along a mean trajectory is predicted; 1 is all of it, 0 what its mean over time predicts."""

    top_genes: float  # over the genes that change most, together
    median_gene: float  # median over the same genes of the R2 of each alone
    genes: int  # number of these genes

    @property
    def known(self) -> bool:
        """Whether anything changes, so that there is a figure."""
        return bool(np.isfinite(self.top_genes))


def trajectory_r2(observed: Floats, predicted: Floats, top: int = TOP_GENES) -> TrajectoryR2:
    r"""Return R2 of a predicted mean trajectory.

    .. math:: R^2 = 1 - \sum_{t, g} (\hat x_{tg} - x_{tg})^2 / \sum_{t, g} (x_{tg} - \bar x_g)^2

    over all times t, the first included, and the `top` genes g whose observed mean trajectory varies most. Both are in units
    in which genes can be compared, (times, genes), or (trajectories, times, genes), which are averaged first. Observed are
    kernel means of cells, rather than bins, whose noise no model can follow.
    """
    if observed.shape != predicted.shape:
        raise ValueError(f"observed has the shape {observed.shape}, predicted {predicted.shape}; they must agree.")
    seen, made = (part.astype(np.float64).reshape(-1, *part.shape[-2:]).mean(axis=0) for part in (observed, predicted))
    total = ((seen - seen.mean(axis=0)) ** 2).sum(axis=0)
    chosen = np.argsort(-total, kind="stable")[:top]
    chosen = chosen[total[chosen] > 0]
    if not len(chosen):
        return TrajectoryR2(float("nan"), float("nan"), 0)
    missed = ((made - seen) ** 2).sum(axis=0)[chosen]
    each = 1 - missed / total[chosen]
    return TrajectoryR2(float(1 - missed.sum() / total[chosen].sum()), float(np.median(each)), len(chosen))


def following_table(
    problem: FitProblem, model: GeneWise, folds: Sequence[Fold] = (), fold_models: Sequence[GeneWise] = ()
) -> pd.DataFrame:
    """Return how well the mean trajectory of every lineage is followed, evaluated against kernel means of its cells.

    `problem`: cells with their kernel means, or at sampled times; an empty table is returned for others. `model`:
    fitted to all cells that are not for test; simulated from the first state of every trajectory. `folds`,
    `fold_models`: where each fold is the other half of the cells: also evaluate what was learned from one half by the
    other, and the smoothed trajectory of that half itself, which is what a perfect follower reaches.

    The result has one row per lineage: `lineage`, `genes`, `r2`, `r2_median_gene`, `r2_other_half` and `r2_smoother` (NaN
    without halves).
    """
    series = problem.series.originals()
    rows = [rows for rows in series.each() if (series.split[rows] != TEST).any()]
    observed = _observed(problem, series, rows)
    if observed is None or problem.units is None:
        return pd.DataFrame(columns=list(COLUMNS))
    lineage = lineage_codes(problem)[[series.trajectory[r[0]] for r in rows]]
    trajectories = Trajectories.of([series.states[r] for r in rows], [series.times[r] for r in rows])
    made = (
        roll_out(model, trajectories.states[:, 0], trajectories.intervals, STEPS) * problem.units.range
        + problem.units.minimum
    )
    found, labels = [], problem.lineage_labels
    for code in dict.fromkeys(lineage.tolist()):
        own = np.flatnonzero(lineage == code)
        name = labels[int(series.trajectory[rows[own[0]][0]])]
        seen, followed = [observed[k] for k in own], [made[k, : len(rows[k])] for k in own]
        whole = trajectory_r2(_together(seen), _together(followed))
        halves = _of_halves(problem.units.range, folds, fold_models, int(code))
        found.append((name, whole.genes, whole.top_genes, whole.median_gene, *halves))
    return pd.DataFrame(found, columns=list(COLUMNS))


def _observed(problem: FitProblem, series: TimeSeries, rows: list[NDArray[np.int64]]) -> list[Floats] | None:
    """Return what every trajectory is evaluated against, in units of the data: kernel means, or the means of sampled times."""
    means = problem.kernel_means
    if not rows or problem.units is None:
        return None
    if problem.left_out_times:
        return [series.states[r] * problem.units.range + problem.units.minimum for r in rows]
    if means is None or any(len(r) != means.shape[1] for r in series.each()):
        return None
    number = {int(code): k for k, code in enumerate(np.unique(series.trajectory))}
    return [means[number[int(series.trajectory[r[0]])]] for r in rows]


def _together(parts: list[Floats]) -> Floats:
    """Return trajectories side by side, to be averaged; those of different lengths one after the other."""
    return np.stack(parts) if len({len(part) for part in parts}) == 1 else np.concatenate(parts)


def _of_halves(
    unit: Floats, folds: Sequence[Fold], fold_models: Sequence[GeneWise], lineage: int
) -> tuple[float, float]:
    """Return mean R2 on the other half of the cells, of the models and of the smoothed half they have learned from."""
    pairs = [(fold, model) for fold, model in zip(folds, fold_models, strict=False) if fold.kind == OTHER_HALF]
    found = []
    for fold, model in pairs:
        own = fold.held_lineage == lineage
        made = roll_out(model, fold.start, fold.held.intervals, STEPS)[own]
        smoothed = fold.train.states[: len(fold.held)][own]  # the first ones are not resampled
        seen = fold.held.states[own] * unit
        found.append([trajectory_r2(seen, part * unit).top_genes for part in (made, smoothed)])
    if not found:
        return float("nan"), float("nan")
    first, second = np.mean(found, axis=0)
    return float(first), float(second)
