"""Sufficient statistics of a screen: means and second moments within perturbations, in one pass over the cells."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from scdash._core.errors import NonFiniteError
from scdash._data import as_dense
from scdash._data.screen import Screen
from scdash.screens.sums import Sums

if TYPE_CHECKING:
    from scdash.screens.times.responses import TimedResponses

Floats = NDArray[np.floating[Any]]
CHUNK = 8_000_000  # numbers of a dense chunk of cells
LEAST_FREEDOM = 20  # degrees of freedom from which the SD within perturbations is used: its error is then 16 %
MAD_TO_SD = 1.4826  # of a normal distribution


@dataclass(frozen=True)
class Replicates:
    """Means of groups of cells that were perturbed independently: guides or batches, or perturbations where neither is known."""

    perturbation: NDArray[np.int64]  # (replicates,), number of the perturbation
    y: Floats  # (replicates, genes), means minus the mean control state
    counts: NDArray[np.int64]  # (replicates,), cells


@dataclass(frozen=True)
class PerturbationStatistics:
    """All that the regression of equilibria needs to know of the cells; its size does not depend on their number.

    y are the states x minus the mean control state; f = sigmoid(slope * y) - 1/2 are their Hill features (in log
    space a sigmoid is a Hill function), so both are zero for a cell at the control mean.
    """

    screen: Screen
    slope: float | None  # None: linear features f = y
    centre: Floats  # (genes,), mean control state
    y: Floats  # (perturbations, genes), perturbation means
    f: Floats  # (perturbations, sources), perturbation means
    fold: NDArray[np.int64]  # (perturbations,), those of one fold are held out together; -1: never, as the control
    yy: Floats  # (folds, genes), sums of squares within replicates over the perturbations that leave the gene alone
    ff: Floats  # (folds, sources, sources), sums of products within replicates
    fy: Floats  # (folds, sources, genes), (feature, target); only over perturbations that leave the target gene alone
    untouched: Floats  # (folds, genes), cells behind `yy` and `fy`
    counts: NDArray[np.int64]  # (perturbations,)
    lowest: Floats  # (genes,), lowest value over all cells
    replicates: Replicates
    sources: NDArray[np.int64]  # positions of the genes that may regulate, in their order; features are theirs alone
    worth: Floats | None = None  # (perturbations,), cells that a mean is worth; None: `counts`
    timed: "TimedResponses | None" = None  # changes at sampled times, of which y holds what they say together

    @property
    def rows(self) -> Floats:
        """(perturbations,), cells that the mean of a perturbation is worth."""
        return self.counts.astype(float) if self.worth is None else self.worth

    @cached_property
    def own(self) -> NDArray[np.bool_]:
        """(perturbations, sources), whether the source is one of its targets."""
        return self.screen.targets[:, self.sources]

    @property
    def edges_to_self(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Where a matrix (sources, genes) has the edges from a gene to itself."""
        return np.arange(len(self.sources)), self.sources

    @property
    def silent(self) -> Floats:
        """(genes,), a knocked-out gene relative to the control mean: at 0, or at its lowest value if that is negative."""
        return np.minimum(self.lowest, 0.0) - self.centre

    @property
    def free(self) -> NDArray[np.bool_]:
        """(perturbations, genes), whether the gene obeys its own equation there, i.e. is no target."""
        return ~self.screen.targets

    def measured(self, used: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Return which of the `used` perturbations (mask) have cells, and targets that are all genes of the data."""
        return used & (self.counts > 0) & ~self.screen.hidden

    @property
    def within_sd(self) -> Floats:
        """(genes,), SD of cells around their replicate's mean where the gene is no target; see `noise_sd` for few cells."""
        variance = self.yy.sum(axis=0) / np.maximum(self.untouched.sum(axis=0), 1)
        few = self._freedom < LEAST_FREEDOM
        sd: Floats = np.where(few, self.noise_sd, np.sqrt(variance)) if few.any() else np.sqrt(variance)
        return sd

    @cached_property
    def _freedom(self) -> NDArray[np.int64]:
        """(genes,), degrees of freedom of the SD within replicates."""
        return np.asarray(np.maximum(self.replicates.counts - 1, 0) @ self.free[self.replicates.perturbation])

    @cached_property
    def noise_sd(self) -> Floats:
        """(genes,), SD of a row around its perturbation's mean, also where most perturbations have a single row.

        Within perturbations where that leaves `LEAST_FREEDOM` degrees of freedom. Otherwise from the median absolute
        deviation over perturbations, since most perturbations do not move most genes; where that is 0 the SD over them.
        """
        free = self.free & (self.counts > 0)[:, None]
        freedom = self._freedom
        within: Floats = np.sqrt(self.yy.sum(axis=0) / np.maximum(freedom, 1))
        if (freedom >= LEAST_FREEDOM).all():
            return np.asarray(within)
        size = np.sqrt(self.counts)[:, None]
        rows = np.where(free & (np.arange(len(size)) > 0)[:, None], self.y, np.nan)
        with np.errstate(invalid="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # genes that every perturbation targets
            around = (rows - np.nanmedian(rows, axis=0)) * size
            robust = MAD_TO_SD * np.nanmedian(np.abs(around), axis=0)
            plain = np.sqrt(np.nanmean(around**2, axis=0))
        over = np.nan_to_num(np.where(robust > 0, robust, plain))
        sd: Floats = np.where((freedom >= LEAST_FREEDOM) | (over <= 0), within, over)
        return sd

    def activation(self, y: Floats) -> Floats:
        """Return f of states y (..., genes), both relative to the control mean."""
        return sigmoid_feature(y, self.slope)


def sigmoid_feature(y: Floats, slope: float | None = 1.0) -> Floats:
    """Return sigmoid(slope * y) - 1/2, written as tanh so that nothing overflows; y itself if `slope` is None."""
    if slope is None:
        return y
    feature: Floats = 0.5 * np.tanh(0.5 * slope * y)
    return feature


def assign_folds(screen: Screen, n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return a fold for every perturbation, sizes as equal as can be; -1 for the control and for `hidden` ones.

    Perturbations of the same genes, such as a knockout and a knockdown, are held out together. There are never more folds
    than sets of genes.
    """
    fold = np.full(screen.n_perturbations, -1)
    shown = np.flatnonzero(~screen.hidden[1:]) + 1
    _, together = np.unique(screen.targets[shown], axis=0, return_inverse=True)
    sets = int(together.max(initial=-1)) + 1
    fold[shown] = rng.permutation(np.arange(sets) % max(min(n_folds, sets), 1))[np.ravel(together)]
    return fold


def perturbation_statistics(
    x: Any,
    screen: Screen,
    fold: NDArray[np.int64],
    *,
    slope: float | None = 1.0,
    sources: NDArray[np.int64] | None = None,
) -> PerturbationStatistics:
    """Stream over cells x (cells, genes), dense, sparse or backed, and return the statistics of the screen.

    The control's cells are read once more at the start, for the centre of the features. `sources` are the positions of
    the genes that may regulate, None: all. Only they have features and products, which take nearly all of the time; transport
    has no use for any.
    """
    d, n_folds = len(screen.genes), max(int(fold.max(initial=0)) + 1, 1)
    sources = np.arange(d) if sources is None else np.asarray(sources)
    group = np.where(fold < 0, n_folds, fold)  # of the control and hidden perturbations: never held out
    centre = _control_mean(x, screen)
    unit, perturbation_of = replicate_units(screen)
    sizes = np.bincount(unit[unit >= 0], minlength=len(perturbation_of))
    sums = Sums.zeros(len(perturbation_of), n_folds + 1, d, len(sources))
    for rows, block in _chunks(x, screen, d):
        perturbation = screen.cells[rows]
        y = block - centre.astype(block.dtype)
        f = sigmoid_feature(y if len(sources) == d else y[:, sources], slope)
        np.minimum(sums.lowest, block.min(axis=0, initial=np.inf), out=sums.lowest)
        sums.add(y, f, unit[rows])
        # a target's own equation is cut: it must not enter products
        y = np.where(screen.targets[perturbation], y.dtype.type(0), y)
        # a row alone is its own mean, and products about it would be rounding errors
        sums.add_products(y, f, np.where(sizes[unit[rows]] > 1, group[perturbation], -1))
    counts = screen.counts
    belongs = sparse.csr_matrix(
        (np.ones(len(perturbation_of)), (perturbation_of, np.arange(len(perturbation_of)))),
        shape=(screen.n_perturbations, len(perturbation_of)),
    )
    mean_y, mean_f = ((belongs @ total) / np.maximum(counts, 1)[:, None] for total in (sums.y, sums.f))
    sums.centre(sizes, screen.targets[perturbation_of], group[perturbation_of])
    untouched = np.zeros((n_folds + 1, d))
    for g in range(n_folds + 1):
        untouched[g] = counts[group == g] @ ~screen.targets[group == g]
    return PerturbationStatistics(
        screen,
        slope,
        centre,
        mean_y,
        mean_f,
        fold,
        np.maximum(sums.yy, 0),
        sums.ff,
        sums.fy,
        untouched,
        counts,
        sums.lowest,
        Replicates(perturbation_of, sums.y, sizes),
        sources,
    )


def replicate_units(screen: Screen) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the group of every cell whose mean its products are taken about, and the perturbation of every group.

    Groups are replicates: what differs between guides or batches is not how genes vary together in a cell. A perturbation's
    cells without a replicate are a group of their own; without replicates, perturbations are the groups.
    """
    if screen.replicates is None:
        return screen.cells, np.arange(screen.n_perturbations)
    perturbation_of = np.concatenate([screen.replicate_perturbations, np.arange(screen.n_perturbations)])
    n = len(perturbation_of) - screen.n_perturbations
    unit = np.where((screen.replicates >= 0) | (screen.cells < 0), screen.replicates, n + screen.cells)
    used = np.bincount(unit[unit >= 0], minlength=len(perturbation_of)) > 0
    return np.where(unit >= 0, (np.cumsum(used) - 1)[unit], -1), perturbation_of[used]


def _control_mean(x: Any, screen: Screen) -> NDArray[np.float64]:
    rows = np.flatnonzero(screen.cells == 0)
    step = max(1, CHUNK // len(screen.genes))
    total = np.zeros(len(screen.genes))
    for first in range(0, len(rows), step):
        total += np.asarray(x[rows[first : first + step]].sum(axis=0), dtype=np.float64).ravel()
    return total / max(len(rows), 1)


def _chunks(x: Any, screen: Screen, d: int) -> Iterator[tuple[NDArray[np.int64], Floats]]:
    step = max(1, CHUNK // d)
    for first in range(0, len(screen.cells), step):
        rows = np.arange(first, min(first + step, len(screen.cells)))
        block = as_dense(x[first : first + len(rows)])
        used = screen.cells[rows] >= 0
        if not used.all():
            rows, block = rows[used], block[used]
        block = block.astype(block.dtype if block.dtype in (np.float32, np.float64) else np.float32, copy=False)
        if not np.isfinite(block).all():
            gene = screen.genes[int(np.flatnonzero(~np.isfinite(block).all(axis=0))[0])]
            raise NonFiniteError(f"Expression of {gene!r} is not finite in some cells; remove or impute them first.")
        yield rows, block
